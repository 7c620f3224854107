//! What a plugin may really do: the narrower of what the workflow file asks and what `bandstand.toml` permits.
//! Without such a file the file's own grants hold: whoever types `run` is the operator.

use bandstand_engine::graph::{MemoryAccess, PluginLimits};

use super::config::Config;

/// The word of the language.
pub fn access_name(access: MemoryAccess) -> &'static str {
    match access {
        MemoryAccess::Read => "read",
        MemoryAccess::Write => "write",
    }
}

/// How far the operator lets a plugin use the memory. `names` are what `[grants]` may call the plugin: its path in the
/// project or `builtin:NAME`, and its digest. What several lines permit adds up.
pub fn memory(config: &Config, names: &[&str]) -> Option<MemoryAccess> {
    names.iter().filter_map(|name| config.grants.get(*name)?.memory).max()
}

/// The limits that hold: each the smaller of the file's and the operator's.
pub fn effective_limits(config: Option<&Config>, asked: &PluginLimits) -> PluginLimits {
    let maxima = config.map(|config| config.limits).unwrap_or_default();
    let narrower = |asked: u64, most: Option<u64>| most.map_or(asked, |most| asked.min(most));
    PluginLimits {
        memory_bytes: narrower(asked.memory_bytes, maxima.memory),
        cpu_ms: narrower(asked.cpu_ms, maxima.cpu),
        output_bytes: narrower(asked.output_bytes, maxima.output),
        log_bytes: narrower(asked.log_bytes, maxima.log),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::config::{Maxima, Permitted};

    fn config(name: &str, memory: Option<MemoryAccess>) -> Config {
        Config { grants: [(name.to_owned(), Permitted { memory })].into(), ..Config::default() }
    }

    // R7.2
    #[test]
    fn the_operator_permits_by_path_or_digest_and_what_several_lines_say_adds_up() {
        let names = ["a.wasm", "sha256:1"];
        assert_eq!(memory(&Config::default(), &names), None);
        assert_eq!(memory(&config("a.wasm", Some(MemoryAccess::Write)), &names), Some(MemoryAccess::Write));
        assert_eq!(memory(&config("sha256:1", Some(MemoryAccess::Read)), &names), Some(MemoryAccess::Read));
        assert_eq!(memory(&config("b.wasm", Some(MemoryAccess::Write)), &names), None);
        let mut both = config("a.wasm", Some(MemoryAccess::Read));
        both.grants.extend(config("sha256:1", Some(MemoryAccess::Write)).grants);
        assert_eq!(memory(&both, &names), Some(MemoryAccess::Write));
    }

    // R7.4
    #[test]
    fn limits_are_the_narrower_of_both() {
        let asked = PluginLimits::default();
        assert_eq!(effective_limits(None, &asked), asked);
        let limits = Maxima { memory: Some(1 << 20), cpu: Some(60_000), ..Maxima::default() };
        let effective = effective_limits(Some(&Config { limits, ..Config::default() }), &asked);
        assert_eq!(effective.memory_bytes, 1 << 20);
        assert_eq!(effective.cpu_ms, asked.cpu_ms);
    }
}
