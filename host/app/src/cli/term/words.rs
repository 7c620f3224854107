//! Words for instants, spans, sizes and counts, as people read them. JSON carries the numbers instead.

use bandstand_engine::Timestamp;

/// `2026-11-22 13:01:02Z`.
pub fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((day, time)) => format!("{day} {}Z", time.get(..8).unwrap_or(time)),
        None => text,
    }
}

/// `13:01:02.345`, for lines that follow one another.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('T') {
        Some((_, time)) => time.trim_end_matches('Z').to_owned(),
        None => text,
    }
}

/// `in 3 m 20 s`, `2 h ago`, `now`.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at.0 > now.0 {
        format!("in {}", span_rough(at.since_ms(now)))
    } else if now.since_ms(at) < 1_000 {
        "now".to_owned()
    } else {
        format!("{} ago", span_rough(now.since_ms(at)))
    }
}

/// `7 ms`, `1.25 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`.
pub fn span(span_ms: u64) -> String {
    match span_ms {
        0..1_000 => format!("{span_ms} ms"),
        1_000..60_000 => format!("{}.{:02} s", span_ms / 1_000, span_ms % 1_000 / 10),
        60_000..3_600_000 => format!("{} m {} s", span_ms / 60_000, span_ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} m", span_ms / 3_600_000, span_ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", span_ms / 86_400_000, span_ms % 86_400_000 / 3_600_000),
    }
}

/// The same without what nobody waits for: `20 s`, `3 m`.
fn span_rough(span_ms: u64) -> String {
    match span_ms {
        0..1_000 => "1 s".to_owned(),
        1_000..60_000 => format!("{} s", span_ms / 1_000),
        60_000..3_600_000 => format!("{} m", span_ms / 60_000),
        3_600_000..86_400_000 => format!("{} h {} m", span_ms / 3_600_000, span_ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", span_ms / 86_400_000, span_ms % 86_400_000 / 3_600_000),
    }
}

/// `512 B`, `1.5 KiB`, `64.0 MiB`.
pub fn size(bytes: u64) -> String {
    const STEP: u64 = 1 << 10;
    match bytes {
        0..STEP => format!("{bytes} B"),
        STEP..0x10_0000 => tenths(bytes, STEP, "KiB"),
        0x10_0000..0x4000_0000 => tenths(bytes, 1 << 20, "MiB"),
        _ => tenths(bytes, 1 << 30, "GiB"),
    }
}

fn tenths(bytes: u64, unit_bytes: u64, unit: &str) -> String {
    format!("{}.{} {unit}", bytes / unit_bytes, bytes % unit_bytes * 10 / unit_bytes)
}

/// `0.0042`: an amount of the operator's currency, two digits after the point at least.
pub fn money(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let short = text.trim_end_matches('0');
    let digits = short.len() - short.find('.').unwrap_or(0) - 1;
    format!("{short}{}", "0".repeat(2_usize.saturating_sub(digits)))
}

/// `1 node`, `3 nodes`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `0.82`: a confidence with two decimals.
pub fn confidence(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_sizes_and_instants_read_well() {
        assert_eq!(span(7), "7 ms");
        assert_eq!(span(1_250), "1.25 s");
        assert_eq!(span(200_000), "3 m 20 s");
        assert_eq!(span(7_500_000), "2 h 5 m");
        assert_eq!(span(273_600_000), "3 d 4 h");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(64 << 20), "64.0 MiB");
        assert_eq!(instant(Timestamp(1_700_000_000_007)), "2023-11-14 22:13:20Z");
        assert_eq!(clock(Timestamp(1_700_000_000_007)), "22:13:20.007");
        assert_eq!(relative(Timestamp(200_000), Timestamp(0)), "in 3 m");
        assert_eq!(relative(Timestamp(0), Timestamp(7_500_000)), "2 h 5 m ago");
        assert_eq!(relative(Timestamp(0), Timestamp(10)), "now");
        assert_eq!(count(1, "run"), "1 run");
        assert_eq!(count(2, "run"), "2 runs");
    }
}
