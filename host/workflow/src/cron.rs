//! When a cron trigger fires. Pure: the time is an argument, and zones come with the program where the machine has none.
//!
//! Daylight saving: a time of the day that a zone leaves out comes when the clock goes on (02:30 becomes 03:30), and one that comes twice counts the
//! first time. So nothing is lost and nothing comes twice. Where the hour is `*`, it is time that passes that counts,
//! not the clock on the wall: such a trigger fires in both of two equal hours.

use bandstand_engine::Timestamp;
use cronexpr::{Crontab, MakeTimestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The zone of a trigger that names none.
pub const ZONE_DEFAULT: &str = "UTC";
/// No longer text is read. Bytes.
const CRON_BYTES_MAX: usize = 512;
/// How far back from now a clock that went on may have hidden a time. Milliseconds.
const HIDDEN_MS_MAX: i64 = 3 * 3_600_000;
/// Times that are looked at before one is later than now: each minute of a clock that was set back, twice over.
const LOOKS_MAX: usize = 1_000;
/// A moment to see from whether a cron ever fires. A leap day follows within the four years that are looked at.
const SOME_TIME: Timestamp = Timestamp(1_767_225_600_000);

/// A cron expression in a time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    /// For the clock on the wall, read as if it were UTC; or for time that passes, in the zone.
    table: Crontab,
    zone: TimeZone,
    by_wall: bool,
}

/// Why there is no such trigger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// No cron expression.
    #[error("{0}")]
    Cron(String),
    /// It has no date that it could come at.
    #[error("it never comes: no date is like that")]
    Never,
    /// No time zone.
    #[error("there is no time zone `{0}`")]
    Zone(String),
}

impl Cron {
    /// Reads both.
    ///
    /// # Errors
    /// When one of them is none, or it never fires.
    pub fn new(cron: &str, zone: &str) -> Result<Cron, CronError> {
        let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
        if cron.len() > CRON_BYTES_MAX {
            return Err(CronError::Cron(format!("it has more than {CRON_BYTES_MAX} bytes")));
        }
        if fields.len() != 5 {
            return Err(CronError::Cron(format!("it has {} fields, not 5", fields.len())));
        }
        let tz = TimeZone::get(zone).map_err(|_| CronError::Zone(zone.to_owned()))?;
        let by_wall = fields[1] != "*";
        let of = |zone: &str| cronexpr::parse_crontab(&format!("{} {zone}", fields.join(" ")));
        let table = of(if by_wall { "UTC" } else { zone }).map_err(|error| {
            // The crate shows the text again, with the zone that was added here; what is wrong comes after a mark.
            let text = error.to_string();
            let problem = text.rsplit_once("^ ").map_or(text.as_str(), |(_, problem)| problem);
            CronError::Cron(problem.trim().to_owned())
        })?;
        let cron = Cron { table, zone: tz, by_wall };
        if cron.next_after(SOME_TIME).is_none() { Err(CronError::Never) } else { Ok(cron) }
    }

    /// The first time after that one at which it fires; none within four years, or beyond the calendar.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if !self.by_wall {
            let from = MakeTimestamp::from_millisecond(after.0).ok()?;
            return Some(Timestamp(self.table.find_next(from).ok()?.timestamp().as_millisecond()));
        }
        let instant = jiff::Timestamp::from_millisecond(after.0.checked_sub(HIDDEN_MS_MAX)?).ok()?;
        let mut wall = as_if_utc(instant.to_zoned(self.zone.clone()).datetime())?;
        let mut found: Option<i64> = None;
        for _ in 0..LOOKS_MAX {
            let next = self.table.find_next(MakeTimestamp(wall)).ok()?;
            wall = next.timestamp();
            let real = next.datetime().to_zoned(self.zone.clone()).ok()?.timestamp().as_millisecond();
            // A time that was moved on can be later than the one after it on the wall.
            if real > after.0 {
                found = Some(found.map_or(real, |earlier| earlier.min(real)));
                if !self.may_be_earlier(wall, found) {
                    return found.map(Timestamp);
                }
            }
        }
        found.map(Timestamp)
    }

    /// Whether a later time on the wall may come before what was found: only where what was found was moved on.
    fn may_be_earlier(&self, wall: jiff::Timestamp, found: Option<i64>) -> bool {
        let Some(found) = found.and_then(|found| jiff::Timestamp::from_millisecond(found).ok()) else {
            return false;
        };
        as_if_utc(found.to_zoned(self.zone.clone()).datetime()).is_some_and(|shown| shown > wall)
    }
}

fn as_if_utc(wall: DateTime) -> Option<jiff::Timestamp> {
    wall.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    /// The times after one, up to another.
    fn times(cron: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
        let cron = Cron::new(cron, zone).unwrap();
        let mut found = Vec::new();
        let mut last = at(after);
        while let Some(next) = cron.next_after(last).filter(|next| *next <= at(until)) {
            assert!(next > last, "each once");
            found.push(next.to_string().replace(":00.000Z", "Z"));
            last = next;
        }
        found
    }

    #[test]
    fn it_fires_when_the_clock_of_its_zone_says_so() {
        let found = times("0 6 * * MON-FRI", "Europe/Berlin", "2026-01-02T05:00:00Z", "2026-01-06T12:00:00Z");
        assert_eq!(found, ["2026-01-05T05:00Z", "2026-01-06T05:00Z"], "Friday's is over, and at five in UTC");
        let found = times("*/20 3 * * *", "UTC", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z");
        assert_eq!(found, ["2026-01-01T03:20Z", "2026-01-01T03:40Z", "2026-01-02T03:00Z"]);
    }

    #[test]
    fn an_hour_that_is_left_out_loses_nothing() {
        // Berlin, 29 March 2026: 02:00 becomes 03:00, which is 01:00 in UTC.
        let found = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-30T23:00:00Z");
        assert_eq!(found, ["2026-03-28T01:30Z", "2026-03-29T01:30Z", "2026-03-30T00:30Z"]);
        let found = times("0 2,3 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(found, ["2026-03-29T01:00Z"], "both are one moment");
        let found = times("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(found, ["2026-03-29T01:00Z", "2026-03-29T01:30Z"], "in order");
        let found = times("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z");
        assert_eq!(
            found,
            ["2026-03-28T23:00Z", "2026-03-29T01:00Z", "2026-03-29T02:00Z", "2026-03-29T04:00Z"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_fires_once_unless_hours_do_not_matter() {
        // Berlin, 25 October 2026: 03:00 becomes 02:00, which is 01:00 in UTC.
        let (from, to) = ("2026-10-24T20:00:00Z", "2026-10-25T03:30:00Z");
        assert_eq!(times("30 2 * * *", "Europe/Berlin", from, to), ["2026-10-25T00:30Z"]);
        let found = times("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", to);
        assert_eq!(
            found,
            ["2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T02:30Z", "2026-10-25T03:30Z"]
        );
        // Half an hour, on an island.
        let found =
            times("15,45 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-04T00:00:00Z");
        assert_eq!(found, ["2026-10-03T15:45Z"], "02:15 became 02:45");
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        let problem = |cron: &str, zone: &str| Cron::new(cron, zone).unwrap_err();
        assert_eq!(problem("0 0 30 2 *", "UTC"), CronError::Never);
        assert_eq!(problem("0 0 * * *", "Europe/Atlantis"), CronError::Zone("Europe/Atlantis".to_owned()));
        assert!(problem("0 0 * *", "UTC").to_string().contains("4 fields, not 5"));
        assert!(matches!(problem("60 0 * * *", "UTC"), CronError::Cron(_)));
        assert!(matches!(problem("H 0 * * *", "UTC"), CronError::Cron(_)));
        assert!(Cron::new("0 0 29 2 *", "UTC").is_ok(), "a leap day");
    }
}
