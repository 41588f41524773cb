//! Wall time for names and stamps, monotonic time for waiting.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Where wall time and the time zone come from. Tests bring their own.
#[derive(Clone)]
pub(super) struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// `None`: the system's, asked for again at times because it can change.
    zone: Option<TimeZone>,
}

/// The local calendar, with what does not change from line to line kept at hand.
pub(super) struct Calendar {
    clock: Clock,
    today: Date,
    /// `today` is right for times from `day.0` to before `day.1`.
    day: (Timestamp, Timestamp),
    /// The second that `prefix` and `offset` are written for.
    second: i64,
    prefix: String,
    offset: String,
    /// The time zone, and until when it is taken for granted.
    zone: Option<(TimeZone, Timestamp)>,
}

/// Until the system's time zone is asked for again: it may have been changed.
const ZONE_LASTS: Duration = Duration::from_mins(5);

impl Clock {
    pub fn system() -> Self {
        Self { now: Arc::new(Timestamp::now), zone: None }
    }

    #[cfg(test)]
    pub fn of(now: impl Fn() -> Timestamp + Send + Sync + 'static, zone: TimeZone) -> Self {
        Self { now: Arc::new(now), zone: Some(zone) }
    }

    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn zone(&self) -> TimeZone {
        self.zone.clone().unwrap_or_else(local_zone)
    }
}

impl Calendar {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            today: Date::default(),
            day: (Timestamp::MAX, Timestamp::MIN),
            second: i64::MIN,
            prefix: String::new(),
            offset: String::new(),
            zone: None,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn zone(&mut self, now: Timestamp) -> TimeZone {
        if let Some((zone, until)) = &self.zone
            // Not for long either where the clock was set back.
            && until.duration_since(now).unsigned_abs() <= ZONE_LASTS
            && now < *until
        {
            return zone.clone();
        }
        let zone = self.clock.zone();
        self.zone = now.checked_add(ZONE_LASTS).ok().map(|until| (zone.clone(), until));
        zone
    }

    /// The local date at `now`.
    pub fn today(&mut self, now: Timestamp) -> Date {
        if now < self.day.0 || now >= self.day.1 {
            let local = now.to_zoned_datetime(self.zone(now));
            self.today = local.date();
            let begin = local.start_of_day().map_or(now, |begin| begin.timestamp());
            let end = local.tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
            // At the end of time there is no tomorrow: the date is then asked for each time.
            self.day = (begin, end.map_or(now, |end| end.timestamp()));
        }
        self.today
    }

    /// How long it is until the date changes, at `now`.
    pub fn until_tomorrow(&mut self, now: Timestamp) -> Duration {
        self.today(now);
        Duration::try_from(self.day.1.duration_since(now)).unwrap_or_default()
    }

    /// Appends `2026-11-22T14:03:07.123+01:00`.
    pub fn stamp(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        let second = at.as_second();
        if second != self.second {
            self.second = second;
            let local = at.to_zoned_datetime(self.zone(at));
            self.prefix.clear();
            self.offset.clear();
            let time = local.time();
            let seconds = local.offset().seconds();
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.abs() / 60;
            let (date, hour, minute, second) =
                (local.date(), time.hour(), time.minute(), time.second());
            // Writing to a String cannot fail.
            let _ = write!(self.prefix, "{date}T{hour:02}:{minute:02}:{second:02}.");
            let _ = write!(self.offset, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
        out.extend_from_slice(self.prefix.as_bytes());
        let millis = at.subsec_millisecond().unsigned_abs();
        for divisor in [100, 10, 1] {
            out.push(b'0' + u8::try_from(millis / divisor % 10).unwrap_or(0));
        }
        out.extend_from_slice(self.offset.as_bytes());
    }
}

/// The system's time zone, from the one file that says it. [`TimeZone::system`] wants its name as
/// well, and reads the whole database for it: six hundred files, and 90 KiB of names that stay.
fn local_zone() -> TimeZone {
    let named = std::env::var_os("TZ").is_some();
    let file = if named { None } else { std::fs::read("/etc/localtime").ok() };
    let zone = file.and_then(|file| TimeZone::tzif("localtime", &file).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this room waits for real time to pass")]
pub(super) fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str) -> Calendar {
        let zone = TimeZone::get(zone).expect("a zone of the tz database");
        Calendar::new(Clock::of(|| Timestamp::UNIX_EPOCH, zone))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn stamp(calendar: &mut Calendar, text: &str) -> String {
        let mut out = Vec::new();
        calendar.stamp(at(text), &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn stamps_are_local_and_parse_back() {
        let mut zurich = calendar("Europe/Zurich");
        assert_eq!(
            stamp(&mut zurich, "2026-11-22T13:03:07.0456Z"),
            "2026-11-22T14:03:07.045+01:00"
        );
        assert_eq!(stamp(&mut zurich, "2026-07-01T22:00:00Z"), "2026-07-02T00:00:00.000+02:00");
        let st_johns = stamp(&mut calendar("America/St_Johns"), "2026-01-01T00:00:00.999Z");
        assert_eq!(st_johns, "2025-12-31T20:30:00.999-03:30");
        assert_eq!(at(&st_johns), at("2026-01-01T00:00:00.999Z"));
    }

    #[test]
    fn the_date_changes_at_local_midnight_and_back_with_the_clock() {
        let mut zurich = calendar("Europe/Zurich");
        let mut date = |text| zurich.today(at(text)).to_string();
        assert_eq!(date("2026-11-22T22:59:59Z"), "2026-11-22");
        assert_eq!(date("2026-11-22T23:00:00Z"), "2026-11-23");
        assert_eq!(date("2026-11-22T22:59:59Z"), "2026-11-22");
        let until = zurich.until_tomorrow(at("2026-10-24T22:00:00Z"));
        assert_eq!(until, Duration::from_hours(25), "the day on which summer time ends");
    }
}
