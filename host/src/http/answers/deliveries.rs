//! Lists deliveries, returns their stories, retries and cancels them.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::person::Person;
use super::{Answers, to_its_end};
use crate::alert::{DeliveryId, HandlerName, Priority, StepKind, Timestamp};
use crate::api::{self, Lenient, What};
use crate::http::error::ApiError;
use crate::queue::{
    CancelError, Filter, Force, LabelTest, Progress, ReadError, Reason, RetryError, Selected,
    Selection, State as DeliveryState, Step, Story, Waits, WaitsFor,
};
use crate::router::{MatchOp, Matcher};
use crate::units::parse_duration;
use crate::worker;

/// The most deliveries in one response.
const LIMIT_MAX: u32 = 1_000;
const LIMIT_DEFAULT: u32 = 100;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The label that lists are indexed by.
const ALERTNAME: &str = "alertname";

/// The longest matcher that is accepted.
const MATCHER_BYTES_MAX: usize = 4 << 10;

/// Parses the query of a list. All values are parsed as text here, because these errors are clearer than those of a decoder.
/// An empty value (`state=&limit=5`) counts as absent.
pub(super) fn parse_list_query(query: &str) -> Result<Filter, ApiError> {
    let mut filter = Filter {
        limit: LIMIT_DEFAULT,
        ..Filter::default()
    };
    let mut matchers = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if value.is_empty() {
            continue;
        }
        match &*name {
            "state" => filter.state = Some(parse_state(&value)?),
            "reason" => filter.reason = Some(parse_reason(&value)?),
            "waits" => filter.waits = Some(parse_waits(&value)?),
            "priority" => filter.priority = Some(parse_priority(&value)?),
            "alertname" => filter.alertname = Some(value.into_owned()),
            "handler" => filter.handler = Some(value.into_owned()),
            "route" => filter.route = Some(value.into_owned()),
            "fingerprint" => {
                let parsed = value
                    .parse()
                    .map_err(|e| bad(format!("fingerprint: {e}")))?;
                filter.fingerprint = Some(parsed);
            }
            "match" => matchers.extend(parse_matchers(&value)?),
            "from" => filter.from = Some(parse_moment("from", &value)?),
            "to" => filter.to = Some(parse_moment("to", &value)?),
            "ended_from" => filter.ended_from = Some(parse_moment("ended_from", &value)?),
            "before" => filter.before = Some(parse_id(&value)?),
            "after" => filter.after = Some(parse_id(&value)?),
            "limit" => filter.limit = parse_limit(&value)?,
            other => {
                return Err(bad(format!(
                    "unknown parameter {:?}: state, reason, waits, priority, alertname, handler, route, fingerprint, match, from, to, ended_from, before, after and limit are known",
                    shown(other)
                )));
            }
        }
    }
    if filter.before.is_some() && filter.after.is_some() {
        return Err(bad(
            "before and after are both there: a page goes on in one direction".to_owned(),
        ));
    }
    if !matchers.is_empty() {
        let names = matchers.iter().filter(|matcher| demands(matcher));
        let mut alertnames = names.filter(|matcher| matcher.name() == ALERTNAME);
        if let (None, Some(matcher)) = (&filter.alertname, alertnames.next()) {
            filter.alertname = Some(matcher.value().to_owned());
        }
        filter.labels = Some(label_test(matchers));
    }
    Ok(filter)
}

/// Returns a value as an error shows it, cut.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ApiError> {
    if text.len() > MATCHER_BYTES_MAX {
        return Err(bad(format!(
            "match: {} bytes, at most {MATCHER_BYTES_MAX}",
            text.len()
        )));
    }
    Matcher::parse(text).map_err(|error| bad(format!("match {:?}: {error}", shown(text))))
}

/// Parses a moment, or how long ago it was.
fn parse_moment(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    moment_of(text.trim(), Timestamp::now()).ok_or_else(|| {
        bad(format!(
            "{name} is a moment such as 2026-01-02T03:04:05Z, `2026-01-02 03:04` or 03:04 (in UTC), or how long ago it was, such as 2h, not {:?}",
            shown(text)
        ))
    })
}

/// Returns a moment as programs write it, as the page shows it, as a time of the last 24 hours, or as how long before `now` it was.
fn moment_of(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    if let Some(ago) = parse_duration(text) {
        return now.checked_sub(ago).ok();
    }
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    let as_date = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    if let Some(time) = as_date
        .iter()
        .find_map(|format| DateTime::strptime(format, text).ok())
    {
        return utc(time);
    }
    let as_time = ["%H:%M:%S", "%H:%M"];
    let time = as_time
        .iter()
        .find_map(|format| Time::strptime(format, text).ok())?;
    let at = utc(now.to_zoned(TimeZone::UTC).date().to_datetime(time))?;
    match at > now {
        true => at.checked_sub(DAY).ok(),
        false => Some(at),
    }
}

fn parse_state(text: &str) -> Result<DeliveryState, ApiError> {
    serde_json::from_value(text.into()).map_err(|_| {
        let shown = shown(text);
        bad(format!(
            "state is queued, running, retrying, done or dead, not {shown:?}"
        ))
    })
}

/// The names of what deliveries wait for.
pub(in crate::http) const WAITS: [(&str, Waits); 5] = [
    ("gate", Waits::Gate),
    ("slot", Waits::Permit),
    ("order", Waits::Others),
    ("time", Waits::Time),
    ("coalesced", Waits::Representative),
];

fn parse_waits(text: &str) -> Result<Waits, ApiError> {
    let known = WAITS.into_iter().find(|(name, _)| *name == text);
    let known = known.map(|(_, waits)| waits);
    known.ok_or_else(|| {
        let (shown, names) = (shown(text), WAITS.map(|(name, _)| name).join(", "));
        bad(format!("waits is one of {names}, not {shown:?}"))
    })
}

fn parse_priority(text: &str) -> Result<Priority, ApiError> {
    let mut all = Priority::ALL.into_iter();
    all.find(|known| known.as_str() == text).ok_or_else(|| {
        let shown = shown(text);
        bad(format!(
            "priority is critical, warning or normal, not {shown:?}"
        ))
    })
}

fn parse_reason(text: &str) -> Result<Reason, ApiError> {
    text.parse()
        .map_err(|error| bad(format!("reason: {:?} is {error}", shown(text))))
}

fn parse_limit(text: &str) -> Result<u32, ApiError> {
    match text.parse() {
        Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
        _ => {
            let shown = shown(text);
            Err(bad(format!("limit is 1 to {LIMIT_MAX}, not {shown:?}")))
        }
    }
}

impl Answers {
    /// Lists the deliveries that a query selects, newest first. All who ask for the same at the same time share the answer.
    ///
    /// # Errors
    /// 400 if the query is not valid, 503 if the store does not answer.
    pub(in crate::http) async fn list(&self, query: &str) -> Result<api::Deliveries, ApiError> {
        let filter = parse_list_query(query)?;
        let make = async || self.deliveries(filter).await;
        let list = self.shared.lists.answer(query, make).await?;
        Ok(Arc::unwrap_or_clone(list))
    }

    /// Lists deliveries, newest first.
    pub(super) async fn deliveries(&self, filter: Filter) -> Result<api::Deliveries, ApiError> {
        let page = self.queue.list(filter).await.map_err(|e| store(&e))?;
        let deliveries = page.deliveries.into_iter().map(api::Delivery::from);
        Ok(api::Deliveries {
            deliveries: deliveries.collect(),
            next: page.next,
            previous: page.previous,
            looked_back_to: page.looked_back_to,
        })
    }

    /// Returns one delivery with its story.
    pub(in crate::http) async fn story(&self, id: DeliveryId) -> Result<api::Story, ApiError> {
        // Before the story is read: what led to the wait is stored already.
        let waiting = self.queue.waiting(id).map(api::Waiting::from);
        let story = self.stored(id).await?;
        let is_waiting = story.delivery.state.is(DeliveryState::Queued)
            || story.delivery.state.is(DeliveryState::Retrying);
        Ok(api::Story {
            waiting: waiting.filter(|_| is_waiting),
            ..story
        })
    }

    /// Returns one delivery with its story, without what it waits for.
    pub(super) async fn stored(&self, id: DeliveryId) -> Result<api::Story, ApiError> {
        let story = self.queue.story(id).await.map_err(|e| store(&e))?;
        let story = story.ok_or_else(|| unknown(id))?;
        Ok(story_of(&self.handlers.load(), story))
    }

    /// Retries a dead delivery, or runs one now that waits for a retry; `was` says which.
    pub(in crate::http) async fn retry(
        self: &Arc<Self>,
        person: &Person,
        id: DeliveryId,
        force: Force,
    ) -> Result<api::SentAgain, ApiError> {
        let (answers, person) = (Arc::clone(self), person.clone());
        to_its_end(async move { answers.retry_now(&person, id, force).await }).await
    }

    async fn retry_now(
        &self,
        person: &Person,
        id: DeliveryId,
        force: Force,
    ) -> Result<api::SentAgain, ApiError> {
        self.slack_breaker.probe_now();
        let retried = self.queue.retry(id, force).await;
        let was = retried.map_err(|error| self.retry_error(id, &error))?;
        tracing::info!(delivery = %id, %person, forced = force == Force::Yes, "delivery retried on request");
        let forced = if force == Force::Yes { "forced" } else { "" };
        self.note(person, What::Retried, id.to_string(), forced);
        Ok(api::SentAgain {
            id,
            was: was.state().into(),
            state: DeliveryState::Queued.into(),
        })
    }

    /// Retries every dead delivery that is selected, or runs those that wait for a retry: as many as fit into the queue and into
    /// the time of a request. `rest` has the number that was not processed, and where the next request continues.
    pub(in crate::http) async fn retry_all(
        self: &Arc<Self>,
        person: &Person,
        selection: Selection,
        after: Option<DeliveryId>,
    ) -> Result<api::Retried, ApiError> {
        let (answers, person) = (Arc::clone(self), person.clone());
        to_its_end(async move { answers.retry_all_now(&person, selection, after).await }).await
    }

    async fn retry_all_now(
        &self,
        person: &Person,
        selection: Selection,
        after: Option<DeliveryId>,
    ) -> Result<api::Retried, ApiError> {
        self.slack_breaker.probe_now();
        let retried = self.queue.retry_all(selection, after).await;
        let retried = api::Retried::from(retried.map_err(|e| store(&e))?);
        let count = retried.retried.len();
        tracing::info!(%person, count, "deliveries retried on request");
        if count > 0 {
            let detail = format!("{count} deliveries");
            self.note(person, What::Retried, String::new(), &detail);
        }
        Ok(retried)
    }

    /// Dead-letters a delivery that is not settled.
    pub(in crate::http) async fn cancel(
        self: &Arc<Self>,
        person: &Person,
        id: DeliveryId,
    ) -> Result<api::Cancelled, ApiError> {
        let (answers, person) = (Arc::clone(self), person.clone());
        to_its_end(async move { answers.cancel_now(&person, id).await }).await
    }

    async fn cancel_now(
        &self,
        person: &Person,
        id: DeliveryId,
    ) -> Result<api::Cancelled, ApiError> {
        self.queue.cancel(id).await.map_err(|error| match error {
            CancelError::NotFound => unknown(id),
            CancelError::Settled => ApiError::new(StatusCode::CONFLICT, error.to_string()),
            CancelError::Unavailable(_) => unavailable(error.to_string()),
        })?;
        tracing::info!(delivery = %id, %person, "delivery cancelled on request");
        self.note(person, What::Cancelled, id.to_string(), "");
        Ok(api::Cancelled {
            id,
            state: DeliveryState::Dead.into(),
        })
    }

    fn retry_error(&self, id: DeliveryId, error: &RetryError) -> ApiError {
        let waiting = self.queue.waiting(id).map(|waiting| waiting.what);
        match (error, waiting) {
            (RetryError::NotDead, Some(WaitsFor::Gate { label, .. })) => ApiError::new(
                StatusCode::CONFLICT,
                format!(
                    "it waits for the rate limit of {label}, and is sent when it is its turn: see `alert-manager channels`"
                ),
            ),
            (error, _) => without_wait(id, error),
        }
    }
}

fn story_of(handlers: &worker::Settings, story: Story) -> api::Story {
    // An attempt of another version is passed on as it was stored.
    let attempt = |stored: Value| match serde_json::from_value(stored.clone()) {
        Ok(attempt) => Lenient::Known(attempt),
        Err(_) => Lenient::Unknown(stored),
    };
    let attempts = story.attempts.into_iter().map(attempt);
    let journal = story.journal.into_iter().map(api::JournalEntry::from);
    api::Story {
        delivery: story.delivery.into(),
        alert: story.alert.into(),
        steps: steps(handlers, story.progress),
        not_before: story.not_before,
        waiting: None,
        story: attempts.collect(),
        attempts_omitted: story.attempts_omitted,
        journal: journal.collect(),
        duplicates: story.duplicates,
        members: story.members,
        timers: story.timers,
    }
}

/// Returns the steps with the counts of the retry policy. They differ from the delivery's `attempts`, because a dependency that
/// does not answer uses up no attempt.
fn steps(handlers: &worker::Settings, progress: Progress) -> Vec<api::Step> {
    let step = |step: Step| {
        let policy = handlers.of(&step.handler);
        let attempts_max = match step.kind {
            StepKind::Enrich => policy.enrich.attempts_max,
            StepKind::Act => policy.retry.attempts_max,
        };
        api::Step::new(step, attempts_max)
    };
    progress.steps.into_iter().map(step).collect()
}

/// Parses which deliveries to retry, and after which one to continue. An empty value is an error: it may come from a variable
/// that is not set, and must not select all.
pub(in crate::http) fn parse_retry_query(
    query: &str,
) -> Result<(Selection, Option<DeliveryId>), ApiError> {
    let (mut selection, mut after) = (Selection::default(), None);
    let mut matchers = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "after" if value.is_empty() => {}
            "after" => after = Some(parse_id(&value)?),
            // An empty name matches no handler.
            "handler" => selection.handler = Some(HandlerName::new(&value)),
            "reason" | "match" | "state" if value.is_empty() => {
                return Err(bad(format!("{name} is empty: leave it out to retry all")));
            }
            "reason" => selection.reason = Some(value.into_owned()),
            "match" => matchers.extend(parse_matchers(&value)?),
            "state" => {
                selection.state = match parse_state(&value)? {
                    DeliveryState::Dead => Selected::Dead,
                    DeliveryState::Retrying => Selected::Retrying,
                    _ => return Err(bad("state is dead or retrying".to_owned())),
                }
            }
            other => {
                return Err(bad(format!(
                    "unknown parameter {:?}: handler, reason, match, state and after are known",
                    shown(other)
                )));
            }
        }
    }
    if !matchers.is_empty() {
        selection.labels = Some(label_test(matchers));
    }
    Ok((selection, after))
}

fn label_test(matchers: Vec<Matcher>) -> LabelTest {
    let demanded: Vec<_> = matchers
        .iter()
        .filter(|matcher| demands(matcher))
        .cloned()
        .collect();
    let test = LabelTest::new(move |labels| matchers.iter().all(|matcher| matcher.matches(labels)));
    demanded.iter().fold(test, |test, matcher| {
        test.has(matcher.name(), matcher.value())
    })
}

/// Returns true if an alert matches only if it has just this label.
fn demands(matcher: &Matcher) -> bool {
    matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
}

fn without_wait(id: DeliveryId, error: &RetryError) -> ApiError {
    match error {
        RetryError::NotFound => unknown(id),
        RetryError::Unavailable(_) => unavailable(error.to_string()),
        _ => ApiError::new(StatusCode::CONFLICT, error.to_string()),
    }
}

pub(in crate::http) fn parse_id(text: &str) -> Result<DeliveryId, ApiError> {
    text.parse().map_err(|error| {
        bad(format!(
            "{:?}: {error}",
            text.chars().take(40).collect::<String>()
        ))
    })
}

fn unknown(id: DeliveryId) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no delivery {id}: the ID is wrong, or retention has removed it"),
    )
}

pub(in crate::http) fn bad(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, message)
}

pub(super) fn store(error: &ReadError) -> ApiError {
    unavailable(error.to_string())
}

fn unavailable(message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_moment_is_read_as_programs_write_it_as_it_is_shown_and_as_people_say_it() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
            ("2026-01-01T10:00:00+01:00", "2026-01-01T09:00:00Z"),
            ("2026-01-01 10:00:07", "2026-01-01T10:00:07Z"),
            ("2026-01-01 10:00", "2026-01-01T10:00:00Z"),
            ("02:30", "2026-01-02T02:30:00Z"),
            ("02:30:01", "2026-01-02T02:30:01Z"),
            ("23:15", "2026-01-01T23:15:00Z"),
            ("2h", "2026-01-02T01:04:05Z"),
        ] {
            let read = moment_of(text, now).map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
        for wrong in ["yesterday", "25:00", "2026-01-32 10:00", ""] {
            assert_eq!(moment_of(wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_goes_on_in_one_direction() {
        let id = DeliveryId::from_raw(7);
        let error = parse_list_query(&format!("before={id}&after={id}")).unwrap_err();
        assert!(error.message().contains("one direction"), "{error:?}");
    }
}
