//! How full something is, and how it changes: a volume, a filesystem, the inodes of either.

use handler_sdk::time::human;

use super::Series;
use crate::report::End;
use crate::verdict::Verdict;
use crate::words::{bytes, percent, roughly, span};

const HOUR: i64 = 3_600;
/// A trend is said only if it ends within this time: a slower one is not distinguished from noise.
const HORIZON: f64 = 7.0 * 24.0 * 3_600.0;
/// The least change within an hour that is called one, as a share of the whole.
const CHANGE_MIN: f64 = 0.005;
/// A value that is older was not reported any more.
const STALE_SECONDS: i64 = 15 * 60;
/// A series that begins so much later than a period is one of the whole period.
const BEGINNING_SECONDS: i64 = 10 * 60;

/// What the space consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Inodes: one for each file.
    Inodes,
}

/// The free space of something at present, and its recent past.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// What is counted.
    pub unit: Unit,
    /// What is free.
    pub free: f64,
    /// All of it.
    pub total: f64,
    /// How it changes.
    pub trend: Trend,
    /// What was free at the beginning of the period, and how long ago that was, in seconds.
    pub before: (f64, i64),
    /// Where most of it went at once, if it did.
    pub fall: Option<Fall>,
}

/// How free space changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trend {
    /// Nothing is left.
    Full,
    /// It falls, and would reach zero after so many seconds at the pace of the last `over` seconds.
    Falls {
        /// Seconds until nothing is left.
        left: i64,
        /// The seconds whose pace that is.
        over: i64,
    },
    /// It did not fall within the last hour.
    Steady,
    /// It rose within the last hour by this much.
    Rises(f64),
}

/// A short time in which most of the loss of a period happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// How much was lost.
    pub amount: f64,
    /// Within how many seconds.
    pub seconds: i64,
    /// When it ended, in seconds since 1970.
    pub end: i64,
}

impl Space {
    /// Returns the space by the series of what is free; `None` if it has no value within the last 15 minutes, or the whole is
    /// not known.
    pub fn of(unit: Unit, free: &Series, total: Option<f64>, now: i64) -> Option<Self> {
        let (at, last) = free.last().filter(|(at, _)| now - at <= STALE_SECONDS)?;
        let (first_at, first) = *free.points.first()?;
        let total = total.filter(|total| *total > 0.0)?;
        let fall = fall(&free.points, total);
        Some(Self {
            unit,
            free: last,
            total,
            trend: trend(free, total, fall.as_ref()),
            before: (first, at - first_at),
            fall,
        })
    }

    /// Returns an amount in words: `4.2GiB`, `1,200 inodes`.
    pub fn amount(&self, amount: f64) -> String {
        match self.unit {
            Unit::Bytes => bytes(amount),
            Unit::Inodes => format!("{} inodes", grouped(amount)),
        }
    }

    /// Returns what is left: `4.2GiB of 100GiB are free (4 %)`.
    pub fn left(&self) -> String {
        let total = match self.unit {
            Unit::Bytes => bytes(self.total),
            Unit::Inodes => grouped(self.total),
        };
        let free = match self.unit {
            Unit::Bytes => bytes(self.free),
            Unit::Inodes => grouped(self.free),
        };
        let what = match self.unit {
            Unit::Bytes => "",
            Unit::Inodes => " inodes",
        };
        format!(
            "{free} of {total}{what} are free ({})",
            percent(self.share())
        )
    }

    /// Returns what was free at the beginning of a period of `seconds`, in words, if the period is known whole.
    pub fn amount_before(&self, seconds: i64) -> Option<String> {
        let (free, known) = self.before;
        (known >= seconds - BEGINNING_SECONDS).then(|| self.amount(free))
    }

    /// Returns the free share.
    pub fn share(&self) -> f64 {
        self.free / self.total
    }

    /// Returns the verdict of the numbers alone; `what` names the thing: `The volume`.
    pub fn verdict(&self, what: &str) -> Verdict {
        let left = self.left();
        let short = format!("{} free", percent(self.share()));
        let (full, fills, ends) = match self.unit {
            Unit::Bytes => ("is full", "fills up", "full"),
            Unit::Inodes => ("has no inodes left", "runs out of inodes", "none left"),
        };
        match self.trend {
            Trend::Full => {
                let short = match self.unit {
                    Unit::Bytes => "full",
                    Unit::Inodes => "no inodes left",
                };
                Verdict::proves("full", &format!("{what} {full}"), left).short(short)
            }
            Trend::Falls {
                left: seconds,
                over,
            } => {
                // To the minute.
                let time = human(span(0, (seconds / 60).max(1) * 60));
                let rest = format!(
                    "{left}; at the pace of the last {}, {ends} in {time}",
                    roughly(0, over)
                );
                let short = format!("{short}, {ends} in {time}");
                Verdict::proves("fills-up", &format!("{what} {fills}"), rest).short(short)
            }
            Trend::Steady => {
                let rest = format!("{left}, and that did not fall in the last hour");
                Verdict::proves("nearly-full", &format!("{what} is nearly full"), rest).short(short)
            }
            Trend::Rises(by) => {
                let rest = format!("{left}, {} more than an hour ago", self.amount(by));
                let lead = format!("{what} gets free again");
                Verdict::proves("gets-free", &lead, rest).short(short)
            }
        }
    }

    /// Returns how an alert about space ended, by the series of what is free and of the whole, from the beginning of the alert
    /// until now. `unreported` says what it means if there are no figures any more, and begins with a blank.
    pub fn end(
        unit: Unit,
        free: Option<&Series>,
        total: Option<&Series>,
        (began, now): (i64, i64),
        unreported: &str,
    ) -> End {
        let last = |series: Option<&Series>| {
            let (at, value) = series?.last()?;
            (now - at <= STALE_SECONDS).then_some(value)
        };
        let first = |series: Option<&Series>| {
            let (at, value) = *series?.points.first()?;
            // The points of a long time are far apart.
            (at - began <= STALE_SECONDS.max((now - began) / 100)).then_some(value)
        };
        let (free_then, total_then) = (first(free), first(total));
        let (Some(free), Some(total)) = (last(free), last(total).filter(|total| *total > 0.0))
        else {
            let end = End::new("no-figures", "ended").caveat("no figures any more");
            return end.says("There are no figures any more:", unreported);
        };
        let space = Self {
            unit,
            free,
            total,
            trend: Trend::Steady,
            before: (free, 0),
            fall: None,
        };
        let (left, share) = (space.left(), percent(space.share()));
        let end = |kind: &str, short: &str| End::new(kind, short).fact("space.free", free);
        match (free_then, total_then) {
            (_, Some(then)) if total > then * 1.01 => {
                let (then, total) = (space.amount(then), space.amount(total));
                let rest = format!(" from {then} to {total}; {left}.");
                end("expanded", &format!("expanded, {share} free")).says("Expanded:", rest)
            }
            (Some(then), _) if free > then => {
                let rest = format!(" {left}; {} when the alert began.", space.amount(then));
                end("freed", &format!("{share} free")).says("It has space again:", rest)
            }
            (Some(then), _) => {
                let rest = format!(
                    " {left}; {} when the alert began, so nothing was freed.",
                    space.amount(then)
                );
                end("not-freed", "ended")
                    .caveat(&format!("{share} free"))
                    .says("It ended without more space:", rest)
            }
            (None, _) => end("ended", "ended")
                .caveat(&format!("{share} free"))
                .says("What is left:", format!(" {left}.")),
        }
    }

    /// Returns what changed, if most of the loss happened at once: `45GiB were used within 20m, 1h 5m before the alert`.
    pub fn changed(&self, began: i64) -> Option<String> {
        let fall = self.fall?;
        let when = match fall.end <= began {
            true => format!("{} before the alert began", human(span(fall.end, began))),
            false => format!("{} after the alert began", human(span(began, fall.end))),
        };
        let within = human(span(0, fall.seconds));
        Some(format!(
            "{} were used within {within}, until {when}",
            self.amount(fall.amount)
        ))
    }
}

fn trend(free: &Series, total: f64, fall: Option<&Fall>) -> Trend {
    let Some((at, last)) = free.last() else {
        return Trend::Steady;
    };
    if last <= 0.0 {
        return Trend::Full;
    }
    let is_young = |(moment, _): &&(i64, f64)| *moment >= at - HOUR;
    let young: Vec<(i64, f64)> = free.points.iter().filter(is_young).copied().collect();
    let hour_ago = young.first().map_or(last, |(_, value)| *value);
    let falls = |points: &[(i64, f64)]| {
        let left = last / -slope(points).filter(|slope| *slope < 0.0)?;
        let over = at - points.first()?.0;
        (left <= HORIZON).then_some(Trend::Falls {
            left: left as i64,
            over,
        })
    };
    if last - hour_ago > total * CHANGE_MIN {
        return Trend::Rises(last - hour_ago);
    }
    let slowly = || match fall {
        // The loss of the period happened at once, and is over.
        Some(_) => None,
        None => falls(&free.points),
    };
    falls(&young).or_else(slowly).unwrap_or(Trend::Steady)
}

/// Returns the change for each second, by least squares; `None` of fewer than three points.
fn slope(points: &[(i64, f64)]) -> Option<f64> {
    if points.len() < 3 {
        return None;
    }
    let count = points.len() as f64;
    let base = points[0].0;
    let times: Vec<f64> = points.iter().map(|(at, _)| (at - base) as f64).collect();
    let time = times.iter().sum::<f64>() / count;
    let value = points.iter().map(|(_, value)| value).sum::<f64>() / count;
    let pairs = times.iter().zip(points);
    let (over, under) = pairs.fold((0.0, 0.0), |(over, under), (at, (_, one))| {
        (
            over + (at - time) * (one - value),
            under + (at - time).powi(2),
        )
    });
    (under > 0.0).then(|| over / under)
}

/// Returns the steepest sixth of the period, if at least two thirds of the loss happened in it, and it is a twentieth of the
/// whole.
fn fall(points: &[(i64, f64)], total: f64) -> Option<Fall> {
    let (first_at, first) = *points.first()?;
    let (last_at, last) = *points.last()?;
    let loss = first - last;
    let within = (last_at - first_at) / 6;
    if loss < total * 0.05 || within == 0 {
        return None;
    }
    let falls = points.iter().enumerate().flat_map(|(index, (from, high))| {
        let later = points[index + 1..]
            .iter()
            .take_while(move |(to, _)| to - from <= within);
        later.map(move |(to, low)| Fall {
            amount: high - low,
            seconds: to - from,
            end: *to,
        })
    });
    // The shortest of those that lost nearly as much.
    let most = falls.clone().map(|fall| fall.amount).fold(0.0, f64::max);
    let steepest = falls
        .filter(|fall| fall.amount >= most * 0.95)
        .min_by_key(|fall| fall.seconds)?;
    (steepest.amount >= loss * 2.0 / 3.0).then_some(steepest)
}

/// Returns a whole number with its thousands apart: `1,200`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
