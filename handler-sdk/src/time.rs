//! Moments and durations: parsing, arithmetic, and formatting for people.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use crate::bindings::alert_manager::handler::types::Timestamp;

/// Sixty seconds.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Sixty minutes.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// Twenty-four hours.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Formats a duration for people, in its two largest units: `41s`, `12m 3s`, `2h 5m`, `3d 4h`.
///
/// ```
/// use std::time::Duration;
/// use handler_sdk::time::human;
///
/// assert_eq!(human(Duration::from_millis(350)), "0s");
/// assert_eq!(human(Duration::from_secs(41)), "41s");
/// assert_eq!(human(Duration::from_secs(7_500)), "2h 5m");
/// assert_eq!(human(Duration::from_secs(86_400)), "1d");
/// ```
pub fn human(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, small) = match seconds {
        0..60 => ((seconds, 's'), (0, ' ')),
        60..3_600 => ((seconds / 60, 'm'), (seconds % 60, 's')),
        3_600..86_400 => ((seconds / 3_600, 'h'), (seconds % 3_600 / 60, 'm')),
        _ => ((seconds / 86_400, 'd'), (seconds % 86_400 / 3_600, 'h')),
    };
    match small.0 {
        0 => format!("{}{}", large.0, large.1),
        _ => format!("{}{} {}{}", large.0, large.1, small.0, small.1),
    }
}

impl Timestamp {
    /// Returns the moment this many whole seconds after 1970-01-01T00:00:00Z.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }

    /// Returns the time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(&self, earlier: &Timestamp) -> Duration {
        let nanoseconds = self.as_nanoseconds() - earlier.as_nanoseconds();
        u128::try_from(nanoseconds).map_or(Duration::ZERO, |nanoseconds| {
            Duration::new(
                u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX),
                (nanoseconds % 1_000_000_000) as u32,
            )
        })
    }

    /// Returns the moment this long before.
    #[must_use]
    pub fn minus(&self, length: Duration) -> Self {
        let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        let whole = self.seconds.saturating_sub(seconds);
        match self.nanoseconds.checked_sub(length.subsec_nanos()) {
            Some(nanoseconds) => Self {
                seconds: whole,
                nanoseconds,
            },
            None => Self {
                seconds: whole.saturating_sub(1),
                nanoseconds: self.nanoseconds + 1_000_000_000 - length.subsec_nanos(),
            },
        }
    }

    /// Returns the moment this long after.
    #[must_use]
    pub fn plus(&self, length: Duration) -> Self {
        let nanoseconds = self.nanoseconds + length.subsec_nanos();
        let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
        Self {
            seconds: self
                .seconds
                .saturating_add(seconds)
                .saturating_add(i64::from(nanoseconds / 1_000_000_000)),
            nanoseconds: nanoseconds % 1_000_000_000,
        }
    }

    /// Returns the moment in Slack's date format, which each reader sees in their own time zone. The text is mrkdwn; see
    /// [`Mrkdwn::raw`](crate::slack::Mrkdwn::raw).
    pub fn slack_date(&self) -> String {
        format!(
            "<!date^{}^{{date_short_pretty}} {{time}}|{self}>",
            self.seconds
        )
    }

    /// Parses the date of an HTTP header: `Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110's preferred form only).
    pub(crate) fn parse_http_date(text: &str) -> Option<Self> {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let mut words = text.split_once(", ")?.1.strip_suffix(" GMT")?.split(' ');
        let day = words.next()?.parse().ok()?;
        let month = words.next()?;
        let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
        let year = words.next()?.parse().ok()?;
        let mut clock = words
            .next()?
            .splitn(3, ':')
            .map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        Some(Self::from_seconds(
            days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second,
        ))
    }

    fn as_nanoseconds(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// Returns whole seconds, rounded up.
pub(crate) fn whole_seconds(length: Duration) -> u32 {
    let seconds = length
        .as_secs()
        .saturating_add(u64::from(length.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::from_seconds(0).plus(since)
    }
}

/// Formats it as RFC 3339 in UTC, without the fraction of a second.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second % 3_600 / 60,
            second % 60
        )
    }
}

/// The error for a text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTimestampError(String);

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a time like 2026-03-02T07:31:57Z", self.0)
    }
}

impl std::error::Error for ParseTimestampError {}

/// Parses RFC 3339, the format of times in Prometheus, Alertmanager and Kubernetes.
///
/// ```
/// use handler_sdk::Timestamp;
///
/// let started: Timestamp = "2022-03-02T07:31:57.339Z".parse()?;
/// let same: Timestamp = "2022-03-02T08:31:57.339+01:00".parse()?;
/// assert_eq!(started, same);
/// assert_eq!(started.to_string(), "2022-03-02T07:31:57Z");
/// # Ok::<(), handler_sdk::time::ParseTimestampError>(())
/// ```
impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_rfc3339(text).ok_or_else(|| ParseTimestampError(text.chars().take(40).collect()))
    }
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())?
    };
    let marks = text.as_bytes();
    let shaped = marks.len() >= 20
        && (marks[4], marks[7], marks[13], marks[16]) == (b'-', b'-', b':', b':')
        && matches!(marks[10], b'T' | b't' | b' ');
    if !shaped {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }

    let rest = text.get(19..)?;
    let (nanoseconds, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = fraction
                .get(..digits.min(9))
                .filter(|kept| !kept.is_empty())?;
            let scale = 10_u32.pow(9 - kept.len() as u32);
            (kept.parse::<u32>().ok()? * scale, fraction.get(digits..)?)
        }
        None => (0, rest),
    };
    let offset_seconds = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
            let seconds =
                (digit(*h1)? * 10 + digit(*h2)?) * 3_600 + (digit(*m1)? * 10 + digit(*m2)?) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        - offset_seconds;
    Some(Timestamp {
        seconds,
        nanoseconds,
    })
}

/// Returns the days from 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn moments_are_moved_back_and_forth() {
        let at = Timestamp {
            seconds: 10,
            nanoseconds: 250_000_000,
        };
        for millis in [0, 250, 251, 1_000, 1_500] {
            let length = Duration::from_millis(millis);
            let before = at.minus(length);
            assert!(before.nanoseconds < 1_000_000_000);
            assert_eq!(before.plus(length), at, "{millis}");
        }
    }

    #[test]
    fn times_survive_a_round_trip() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59Z",
            "2026-11-22T08:49:23Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        assert_eq!(
            "2022-03-02T07:31:57.339Z"
                .parse::<Timestamp>()
                .unwrap()
                .seconds,
            1_646_206_317
        );
        assert_eq!(
            "2022-03-02T07:31:57.339Z"
                .parse::<Timestamp>()
                .unwrap()
                .nanoseconds,
            339_000_000
        );
    }

    #[test]
    fn an_invalid_time_is_an_error_that_names_it() {
        for text in [
            "",
            "now",
            "2022-13-02T07:31:57Z",
            "2022-03-02T07:31:57",
            "2022-03-02T07:31:57.Z",
            "2022-03-02é07:31:57Z",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn http_dates_are_read() {
        let date = Timestamp::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-10-21T07:28:00Z");
        assert_eq!(Timestamp::parse_http_date("soon"), None);
    }

    #[test]
    fn time_never_runs_backwards() {
        let (early, late) = (Timestamp::from_seconds(100), Timestamp::from_seconds(160));
        assert_eq!(late.since(&early), MINUTE);
        assert_eq!(early.since(&late), Duration::ZERO);
        assert_eq!(
            early
                .plus(Duration::from_millis(59_500))
                .plus(Duration::from_millis(500)),
            late
        );
    }
}
