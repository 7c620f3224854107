//! Spans and dates, as far as `timeout` and `retry-after` need them.

/// The longest wait that is passed on. Milliseconds.
const WAIT_MS_MAX: u64 = 24 * 3_600_000;

/// `500ms`, `10s`, `2m`, `1h` in milliseconds.
pub(crate) fn span_ms(text: &str) -> Option<u64> {
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)].into_iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(factor).filter(|ms| *ms > 0)
    })
}

/// What a `retry-after` asks for: seconds, or a date. `now` in seconds since 1970.
pub(crate) fn retry_after_ms(wish: &str, now: Option<i64>) -> Option<u32> {
    let seconds = match wish.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => u64::try_from(http_date(wish)? - now?).ok()?,
    };
    u32::try_from(seconds.saturating_mul(1_000).min(WAIT_MS_MAX)).ok()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970. The older forms are not read.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)?;
    seconds(year.parse().ok()?, i64::try_from(month).ok()? + 1, day.parse().ok()?, time)
}

/// `2026-01-02T03:04:05Z`, with or without a fraction, in seconds since 1970. The host writes no other zone.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let parts: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day] = parts[..] else { return None };
    seconds(year, month, day, time.split('.').next()?)
}

fn seconds(year: i64, month: i64, day: i64, time: &str) -> Option<i64> {
    let parts: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = parts[..] else { return None };
    let is_date = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return None;
    }
    // Years begin in March here, so that the odd day of a leap year is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_seconds() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(rfc3339("2024-02-29T12:00:00.123Z"), Some(1_709_208_000));
        for wrong in [
            "",
            "tomorrow",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Xxx 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49 GMT",
        ] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wish_is_bounded_and_never_in_the_past() {
        assert_eq!(retry_after_ms("120", None), Some(120_000));
        assert_eq!(retry_after_ms("99999999999999999999", None), None);
        assert_eq!(retry_after_ms("999999999", None), Some(86_400_000));
        assert_eq!(retry_after_ms("-1", Some(0)), None);
        assert_eq!(retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", Some(50)), Some(10_000));
        assert_eq!(retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", Some(70)), None);
        assert_eq!(retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", None), None);
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(
            (span_ms("500ms"), span_ms("2m"), span_ms("1h")),
            (Some(500), Some(120_000), Some(3_600_000))
        );
        assert_eq!((span_ms("0s"), span_ms("10"), span_ms("s"), span_ms("-1s")), (None, None, None, None));
    }
}
