//! What the system says of this process, from `/proc`. Elsewhere than on Linux there is nothing to say.

/// One look. What cannot be read is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) files_max: Option<u64>,
    pub(super) threads: Option<u64>,
    /// Seconds since 1970.
    pub(super) started: Option<f64>,
}

/// Ticks of a second in `/proc`: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

impl Process {
    pub(super) fn look() -> Process {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let files = std::fs::read_dir("/proc/self/fd").map(|files| files.count() as u64).ok();
        let mut process = of(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"));
        // One of them is the folder that is being read.
        process.open_files = files.map(|files| files.saturating_sub(1));
        process.files_max = limit(&read("/proc/self/limits"));
        process
    }
}

/// Of the three files.
fn of(stat: &str, status: &str, system: &str) -> Process {
    // The name of the program is in brackets and may hold anything, so what follows is counted from the last one.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
    let kilobytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    Process {
        cpu_seconds: number(11).zip(number(12)).map(|(user, system)| (user + system) as f64 / TICKS),
        resident_bytes: kilobytes("VmRSS:").map(|kilobytes| kilobytes * 1024),
        virtual_bytes: number(20),
        threads: number(17),
        started: boot.zip(number(19)).map(|(boot, ticks)| boot + ticks as f64 / TICKS),
        ..Process::default()
    }
}

fn limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        let stat = "17 (a) b) R 1 17 17 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 4200 8192000 500 18446744073709551615";
        let process = of(stat, "Name:\ta\nVmRSS:\t    2000 kB\n", "cpu 1\nbtime 1000\n");
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!((process.resident_bytes, process.virtual_bytes), (Some(2_048_000), Some(8_192_000)));
        assert_eq!((process.threads, process.started), (Some(9), Some(1042.0)));
        assert_eq!(
            limit("Max open files            1024                 4096                 files\n"),
            Some(1024)
        );
        assert_eq!(of("", "", ""), Process::default());
    }
}
