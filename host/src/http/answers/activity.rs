//! How much was received and what became of it, over time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Answers;
use super::deliveries::{bad, store};
use super::together::Together;
use crate::alert::{HandlerName, Timestamp};
use crate::api::{self, Amounts, Bucket, RouteUse, Series};
use crate::http::error::ApiError;
use crate::queue::{Activity, ActivityKind, ActivityOf, Amount, Reason};

/// A time over which activity is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum Over {
    /// The last hour, by minutes.
    Hour,
    /// The last day, by quarters of an hour.
    #[default]
    Day,
    /// The last week, by two hours.
    Week,
    /// As long as it is kept, by days.
    Kept,
}

const MINUTE: Duration = Duration::from_secs(60);

/// How old what routes have received may be.
const ROUTES_AGE_MAX: Duration = Duration::from_secs(10);

/// How old sums of the past may be. They have what was counted until some minutes ago, which hardly changes any more.
const PAST_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// How long ago the past ends. A clock that is set back by more than that makes a chart wrong until the past is read again.
const PAST_ENDS: Duration = Duration::from_secs(2 * 60);

/// Since when what was counted is read anew each time: since before the end of the oldest past that is used.
const RECENT: Duration = Duration::from_secs(10 * 60);

impl Over {
    pub(in crate::http) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Kept];

    pub(in crate::http) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Week => "7d",
            Self::Kept => "90d",
        }
    }

    /// Parses the value of `over`; an empty one is the day.
    pub(in crate::http) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let known = Self::ALL.into_iter().find(|over| over.as_str() == text);
        known.ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            bad(format!("over is 1h, 1d, 7d or 90d, not {shown:?}"))
        })
    }

    /// Parses the query of a request that has no other parameter than `over`.
    pub(in crate::http) fn parse_query(query: &str) -> Result<Self, ApiError> {
        let mut over = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "over" {
                let shown: String = name.chars().take(40).collect();
                return Err(bad(format!("unknown parameter {shown:?}: over is known")));
            }
            over = Self::parse(&value)?;
        }
        Ok(over)
    }

    /// Returns how many buckets it has, and how long each is.
    fn buckets(self) -> (u32, Duration) {
        match self {
            Self::Hour => (60, MINUTE),
            Self::Day => (96, 15 * MINUTE),
            Self::Week => (84, 120 * MINUTE),
            Self::Kept => (90, 24 * 60 * MINUTE),
        }
    }

    /// Returns the buckets that end with the one that has `now` in it, with nothing in them.
    fn empty(self, now: Timestamp) -> Sums {
        let (count, length) = self.buckets();
        let length_s = length.as_secs().cast_signed();
        let last = now.as_second().div_euclid(length_s) * length_s;
        let first = last - i64::from(count - 1) * length_s;
        Sums {
            over: self,
            first: Timestamp::from_second(first).unwrap_or(Timestamp::MIN),
            length,
            buckets: vec![Sum::default(); count as usize],
        }
    }
}

/// What was counted, as it was read lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    past: [Together<Past>; Over::ALL.len()],
    routes: Together<RouteUses>,
}

/// What was counted over a time until some minutes ago.
#[derive(Debug)]
struct Past {
    sums: Sums,
    /// Its end: the beginning of a minute.
    until: Timestamp,
}

/// What was counted in the last minutes.
#[derive(Debug)]
pub(super) struct Recent {
    now: Timestamp,
    activity: Vec<Activity>,
}

/// What was counted over a time.
#[derive(Debug)]
struct Sums {
    over: Over,
    first: Timestamp,
    length: Duration,
    buckets: Vec<Sum>,
}

/// What was counted together.
#[derive(Clone, Debug, Default)]
struct Sum {
    received: BTreeMap<String, u64>,
    settled: BTreeMap<String, u64>,
    handled: Amount,
}

/// What routes have received, by their names; the empty one is that of no route.
type RouteUses = BTreeMap<Arc<str>, RouteUse>;

impl Answers {
    /// Returns what was received and what became of it.
    pub(in crate::http) async fn activity(&self, over: Over) -> Result<api::Activity, ApiError> {
        let recent = self.recent().await?;
        self.activity_until(&recent, over).await
    }

    /// Returns what was received and what became of it, until what was counted last.
    pub(super) async fn activity_until(
        &self,
        recent: &Recent,
        over: Over,
    ) -> Result<api::Activity, ApiError> {
        let hour = self.sums(Over::Hour, recent).await?;
        let day = self.sums(Over::Day, recent).await?;
        Ok(api::Activity {
            last_hour: hour.total(),
            last_day: day.total(),
            series: match over {
                Over::Hour => hour.series(),
                Over::Day => day.series(),
                Over::Week | Over::Kept => self.sums(over, recent).await?.series(),
            },
        })
    }

    /// Returns what was counted in the last minutes.
    pub(super) async fn recent(&self) -> Result<Recent, ApiError> {
        let now = Timestamp::now();
        let from = now.checked_sub(RECENT).unwrap_or(Timestamp::MIN);
        Ok(Recent {
            now,
            activity: self.counted(from, end(now)).await?,
        })
    }

    /// Returns what was received and what has ended between two times.
    async fn counted(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Activity>, ApiError> {
        let mut all = Vec::new();
        for kind in [ActivityKind::Received, ActivityKind::Settled] {
            let found = self.queue.activity(kind, from, to).await;
            all.extend(found.map_err(|e| store(&e))?);
        }
        Ok(all)
    }

    /// Returns how the deliveries of a handler have ended.
    pub(super) async fn activity_of(
        &self,
        handler: &HandlerName,
        over: Over,
    ) -> Result<Series, ApiError> {
        let now = Timestamp::now();
        let mut sums = over.empty(now);
        let found = self
            .queue
            .activity_of(handler.clone(), sums.first, end(now));
        for one in found.await.map_err(|e| store(&e))? {
            sums.add(one);
        }
        Ok(sums.series())
    }

    /// Returns what each route has received.
    pub(super) async fn route_uses(&self) -> Result<Arc<RouteUses>, ApiError> {
        let make = async || {
            let now = Timestamp::now();
            let of = ActivityKind::Route;
            let mut uses = RouteUses::new();
            let last = self.queue.last_counted(of).await;
            for (of, last) in last.map_err(|e| store(&e))? {
                uses.entry(route(of)).or_default().last = Some(last);
            }
            for over in [Over::Day, Over::Hour] {
                let found = self.queue.counted(of, over.empty(now).first, end(now));
                for (of, count) in found.await.map_err(|e| store(&e))? {
                    let used = uses.entry(route(of)).or_default();
                    match over {
                        Over::Hour => used.last_hour = count,
                        _ => used.last_day = count,
                    }
                }
            }
            Ok(uses)
        };
        let routes = &self.shared.lately.routes;
        routes.answer(ROUTES_AGE_MAX, make).await
    }

    /// Returns what was counted over a time until now: what is past and what is recent.
    async fn sums(&self, over: Over, recent: &Recent) -> Result<Sums, ApiError> {
        let make = async || {
            let now = Timestamp::now();
            let until = now.checked_sub(PAST_ENDS).unwrap_or(Timestamp::MIN);
            let minute = until.as_second().div_euclid(60) * 60;
            let until = Timestamp::from_second(minute).unwrap_or(Timestamp::MIN);
            let mut sums = over.empty(now);
            for one in self.counted(sums.first, until).await? {
                sums.add(one);
            }
            Ok(Past { sums, until })
        };
        let past = &self.shared.lately.past[over as usize];
        let past = past.answer(PAST_AGE_MAX, make).await?;
        Ok(past.and(recent))
    }
}

impl Past {
    /// Returns it together with what was counted after its end.
    fn and(&self, recent: &Recent) -> Sums {
        let mut sums = self.sums.over.empty(recent.now);
        sums.take_over(&self.sums);
        let later = recent.activity.iter().filter(|one| one.from >= self.until);
        for one in later {
            sums.add(one.clone());
        }
        sums
    }
}

/// Returns the name of the route that was counted.
fn route(of: ActivityOf) -> Arc<str> {
    match of {
        ActivityOf::Route(route) => route,
        _ => Arc::default(),
    }
}

/// Returns the end of the minute that has `now` in it, or a little later.
fn end(now: Timestamp) -> Timestamp {
    now.checked_add(MINUTE).unwrap_or(Timestamp::MAX)
}

impl Sums {
    /// Takes over the buckets of sums over the same time until earlier.
    fn take_over(&mut self, earlier: &Self) {
        let apart = self.first.as_second() - earlier.first.as_second();
        let gone = apart.div_euclid(self.length.as_secs().cast_signed());
        let gone = usize::try_from(gone).unwrap_or_default();
        for (bucket, known) in self
            .buckets
            .iter_mut()
            .zip(earlier.buckets.iter().skip(gone))
        {
            *bucket = known.clone();
        }
    }

    fn add(&mut self, one: Activity) {
        let after = one.from.as_second() - self.first.as_second();
        let place = after.div_euclid(self.length.as_secs().cast_signed());
        let bucket = usize::try_from(place).map(|place| self.buckets.get_mut(place));
        if let Ok(Some(bucket)) = bucket {
            bucket.add(one);
        }
    }

    fn total(&self) -> Amounts {
        let mut total = Sum::default();
        for bucket in &self.buckets {
            total.handled.add(&bucket.handled);
            for (sums, parts) in [
                (&mut total.received, &bucket.received),
                (&mut total.settled, &bucket.settled),
            ] {
                for (name, count) in parts {
                    *sums.entry(name.clone()).or_default() += count;
                }
            }
        }
        total.amounts()
    }

    fn series(&self) -> Series {
        let from = |n: u32| self.first.checked_add(n * self.length);
        let buckets = self.buckets.iter().zip(0..).map(|(sum, n)| Bucket {
            from: from(n).unwrap_or(Timestamp::MAX),
            amounts: sum.amounts(),
        });
        Series {
            over: self.over.as_str().to_owned(),
            bucket_seconds: self.length.as_secs(),
            buckets: buckets.collect(),
        }
    }
}

impl Sum {
    fn add(&mut self, one: Activity) {
        let count = one.amount.count;
        match one.of {
            ActivityOf::Received(as_what) => {
                *self
                    .received
                    .entry(as_what.as_str().to_owned())
                    .or_default() += count;
            }
            ActivityOf::Settled(reason) | ActivityOf::Handler(_, reason) => {
                *self.settled.entry(reason.as_str().to_owned()).or_default() += count;
                if reason == Reason::Handled {
                    self.handled.add(&one.amount);
                }
            }
            ActivityOf::Route(_) => {}
        }
    }

    fn amounts(&self) -> Amounts {
        Amounts {
            received: self.received.clone(),
            settled: self.settled.clone(),
            p50_ms: quantile_ms(&self.handled, 0.5),
            p99_ms: quantile_ms(&self.handled, 0.99),
        }
    }
}

/// Returns a time in whole milliseconds: the next larger one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time is not negative, and a conversion saturates"
)]
fn quantile_ms(amount: &Amount, share: f64) -> Option<u64> {
    let ms = amount.times.quantile_ms(share)?;
    Some(ms.ceil() as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::queue::{ReceivedAs, Times};

    fn received(at: &str, count: u64) -> Activity {
        Activity {
            from: at.parse().unwrap(),
            length: MINUTE,
            of: ActivityOf::Received(ReceivedAs::Accepted),
            amount: Amount {
                count,
                times: Times::default(),
            },
        }
    }

    #[test]
    fn what_was_counted_goes_to_the_bucket_of_its_time() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut sums = Over::Day.empty(now);
        for (at, count) in [
            ("2026-01-01T03:14:00Z", 100),
            ("2026-01-01T03:15:00Z", 1),
            ("2026-01-01T03:29:00Z", 2),
            ("2026-01-02T03:04:00Z", 4),
            ("2026-01-02T03:15:00Z", 100),
        ] {
            sums.add(received(at, count));
        }
        let series = sums.series();
        let accepted = |bucket: &Bucket| bucket.amounts.received_as("accepted");
        assert_eq!((series.buckets.len(), series.bucket_seconds), (96, 900));
        assert_eq!(series.buckets[0].from.to_string(), "2026-01-01T03:15:00Z");
        assert_eq!(accepted(&series.buckets[0]), 3);
        assert_eq!(accepted(&series.buckets[95]), 4);
        assert_eq!(sums.total().received_as("accepted"), 7);
    }

    #[test]
    fn what_is_past_moves_on_and_what_is_recent_is_added_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (then, now) = (at("2026-01-02T03:02:30Z"), at("2026-01-02T03:04:05Z"));
        let mut sums = Over::Hour.empty(then);
        sums.add(received("2026-01-02T02:03:00Z", 100));
        sums.add(received("2026-01-02T02:05:00Z", 1));
        let until = at("2026-01-02T03:00:00Z");
        let past = Past { sums, until };
        let activity = vec![
            // It is in the past too.
            received("2026-01-02T02:59:00Z", 100),
            received("2026-01-02T03:00:00Z", 2),
            received("2026-01-02T03:04:00Z", 4),
        ];
        let sums = past.and(&Recent { now, activity });
        assert_eq!(sums.total().received_as("accepted"), 7);
        let accepted: Vec<_> = sums
            .series()
            .buckets
            .iter()
            .map(|bucket| bucket.amounts.received_as("accepted"))
            .collect();
        assert_eq!((accepted[0], accepted[55], accepted[59]), (1, 2, 4));
    }

    #[test]
    fn a_time_that_is_not_offered_is_refused_with_those_that_are() {
        assert_eq!(Over::parse("").unwrap(), Over::Day);
        for over in Over::ALL {
            assert_eq!(Over::parse(over.as_str()).unwrap(), over);
        }
        let error = Over::parse("2d").unwrap_err();
        assert!(error.message().contains("1h, 1d, 7d or 90d"), "{error:?}");
    }
}
