//! What happened between two times: when alerts came, what was done for them, how that ended, and what people did.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::Answers;
use super::deliveries::{bad, parse_list_query, store};
use crate::alert::{DeliveryId, Timestamp};
use crate::api::{Deliveries, Delivery, JournalEntry, Lenient, Moment, Step, Timeline, What};
use crate::http::error::ApiError;
use crate::journal::CallKind;
use crate::queue::{AuditFilter, Audited, Filter, Reason, State, time_of};

/// How many deliveries one page is about.
const DELIVERIES_MAX: u32 = 200;

/// How many entries of the audit log one page has.
const AUDITED_MAX: u32 = 2_000;

/// How many deliveries that were accepted long before are looked up for one page, since somebody did something with them.
const REVIVED_MAX: usize = 100;

/// How many deliveries a whole timeline is about.
const WHOLE_MAX: u64 = 10_000;

/// What a timeline is asked for.
struct Asked {
    /// Which deliveries it is about.
    filter: Filter,
    /// Only what this person did.
    person: Option<String>,
    /// Only this.
    what: Option<What>,
}

impl Asked {
    /// Takes its own parameters out of a query; the others are those of the list of deliveries.
    fn parse(query: &str) -> Result<Self, ApiError> {
        let (mut person, mut what) = (None, None);
        let mut of_list = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "person" => person = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "what" if value.is_empty() => {}
                "what" => what = Some(parse_what(&value)?),
                _ => {
                    of_list.append_pair(&name, &value);
                }
            }
        }
        let filter = parse_list_query(&of_list.finish())?;
        if filter.limit > DELIVERIES_MAX {
            return Err(bad(format!("limit is at most {DELIVERIES_MAX} here")));
        }
        Ok(Self {
            filter,
            person,
            what,
        })
    }

    /// Returns whether it is about some deliveries only, besides those of a time.
    fn selects_deliveries(&self) -> bool {
        let Filter {
            state,
            reason,
            priority,
            alertname,
            handler,
            route,
            fingerprint,
            waits,
            labels,
            ..
        } = &self.filter;
        state.is_some()
            || reason.is_some()
            || priority.is_some()
            || alertname.is_some()
            || handler.is_some()
            || route.is_some()
            || fingerprint.is_some()
            || waits.is_some()
            || labels.is_some()
    }
}

fn parse_what(text: &str) -> Result<What, ApiError> {
    What::named(text).ok_or_else(|| {
        let (shown, names) = (text.chars().take(40), What::ALL.map(What::as_str));
        bad(format!(
            "what is one of {}, not {:?}",
            names.join(", "),
            shown.collect::<String>()
        ))
    })
}

/// The time of which a page has what people did: from the first to before the second.
#[derive(Clone, Copy)]
struct Span(Option<Timestamp>, Option<Timestamp>);

impl Span {
    fn has(self, at: Timestamp) -> bool {
        self.0.is_none_or(|from| at >= from) && self.1.is_none_or(|to| at < to)
    }
}

impl Answers {
    /// Returns what happened in a time with the deliveries that a query selects, as for the list of deliveries, and what people did.
    /// What was accepted before the time is in it with what happened then. With `person`, it is only what this person did. All who
    /// ask for the same at the same time share the answer.
    ///
    /// # Errors
    /// 400 if the query is not valid, 503 if the store does not answer.
    pub(in crate::http) async fn timeline(&self, query: &str) -> Result<Timeline, ApiError> {
        let asked = Asked::parse(query)?;
        let make = async || self.page_of_timeline(&asked).await;
        let timeline = self.shared.timelines.answer(query, make).await?;
        Ok(Arc::unwrap_or_clone(timeline))
    }

    /// Returns all pages of a timeline as one. If that would be about more than 10,000 deliveries, it is the newest part, and `next`
    /// is where the rest begins.
    ///
    /// # Errors
    /// As for one page.
    pub(in crate::http) async fn whole_timeline(&self, query: &str) -> Result<Timeline, ApiError> {
        let mut asked = Asked::parse(query)?;
        asked.filter.limit = DELIVERIES_MAX;
        let mut whole = self.page_of_timeline(&asked).await?;
        while let Some(next) = whole.next.filter(|_| whole.deliveries < WHOLE_MAX) {
            asked.filter.before = Some(next);
            let earlier = self.page_of_timeline(&asked).await?;
            whole.entries.splice(0..0, earlier.entries);
            whole.deliveries += earlier.deliveries;
            whole.is_cut |= earlier.is_cut;
            (whole.next, whole.looked_back_to) = (earlier.next, earlier.looked_back_to);
        }
        sort(&mut whole.entries);
        Ok(whole)
    }

    async fn page_of_timeline(&self, asked: &Asked) -> Result<Timeline, ApiError> {
        let listed = match asked.person {
            Some(_) => Deliveries {
                deliveries: Vec::new(),
                next: None,
                previous: None,
                looked_back_to: None,
            },
            None => self.deliveries(self.of_time(asked)).await?,
        };
        let span = Span(
            listed.looked_back_to.max(asked.filter.from),
            match asked.filter.before.map(time_of) {
                Some(before) => Some(asked.filter.to.map_or(before, |to| to.min(before))),
                None => asked.filter.to,
            },
        );
        let mut entries = Vec::new();
        for delivery in &listed.deliveries {
            entries.extend(self.moments_of(delivery).await?);
        }
        let of_all = Span(asked.filter.from, asked.filter.to);
        entries.retain(|moment| of_all.has(moment.at));
        let is_cut = self.add_audited(asked, &listed, span, &mut entries).await?;
        entries.retain(|moment| asked.what.is_none_or(|what| moment.what.is(what)));
        sort(&mut entries);
        Ok(Timeline {
            entries,
            deliveries: listed.deliveries.len() as u64,
            next: listed.next,
            looked_back_to: listed.looked_back_to,
            is_cut,
        })
    }

    /// Returns which deliveries something may have happened with in the time: also those that were accepted before it, as long as a
    /// delivery can be retried, and had not ended then.
    fn of_time(&self, asked: &Asked) -> Filter {
        let mut filter = asked.filter.clone();
        filter.limit = filter.limit.min(DELIVERIES_MAX);
        if let Some(from) = filter.from {
            filter.ended_from = filter.ended_from.max(Some(from));
            filter.from = Some(from.checked_sub(self.age_max()).unwrap_or(Timestamp::MIN));
        }
        filter
    }

    /// Returns for how long a delivery can be retried.
    fn age_max(&self) -> Duration {
        let settings = self.handlers.load();
        let all = settings.by_name.values().chain([&settings.others]);
        all.map(|own| own.retry.age_max).max().unwrap_or_default()
    }

    async fn moments_of(&self, delivery: &Delivery) -> Result<Vec<Moment>, ApiError> {
        if delivery.coalesced_into.is_some() {
            // Another one ran in its place: nothing else is stored of it.
            return Ok(moments(delivery, &[], &[]));
        }
        match self.stored(delivery.id).await {
            Ok(story) => Ok(moments(&story.delivery, &story.journal, &story.steps)),
            // Retention has removed it since.
            Err(error) if error.status() == StatusCode::NOT_FOUND => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Adds what the audit log has of the time of a page, and what happened then with deliveries that were accepted long before.
    /// Returns true if there is more than fits.
    async fn add_audited(
        &self,
        asked: &Asked,
        listed: &Deliveries,
        span: Span,
        entries: &mut Vec<Moment>,
    ) -> Result<bool, ApiError> {
        let filter = AuditFilter {
            from: span.0,
            to: span.1,
            person: asked.person.clone(),
            limit: AUDITED_MAX,
            ..AuditFilter::default()
        };
        let found = self.queue.audited(filter).await.map_err(|e| store(&e))?;
        let is_cut = found.len() >= AUDITED_MAX as usize;
        let known: HashMap<DeliveryId, &Delivery> =
            listed.deliveries.iter().map(|one| (one.id, one)).collect();
        let subject = |one: &Audited| one.subject.parse::<DeliveryId>().ok();
        let others: BTreeSet<_> = found.iter().filter_map(subject).collect();
        let others = others.into_iter().filter(|id| !known.contains_key(id));
        let others = self.selected(asked, others.collect()).await?;
        // What was accepted since then is on a page of its own.
        let listed_from = self.of_time(asked).from;
        let long_ago = others
            .values()
            .filter(|one| listed_from.is_some_and(|from| time_of(one.id) < from));
        let long_ago: Vec<_> = long_ago.take(REVIVED_MAX).collect();
        if asked.person.is_none() {
            for delivery in long_ago {
                let moments = self.moments_of(delivery).await?;
                entries.extend(moments.into_iter().filter(|moment| span.has(moment.at)));
            }
        }
        for one in found {
            let Some(what) = What::named(&one.what) else {
                // A newer version may keep more.
                continue;
            };
            let id = subject(&one);
            let about = id.and_then(|id| known.get(&id).copied().or_else(|| others.get(&id)));
            let is_about = match what {
                _ if !asked.selects_deliveries() => true,
                What::Swapped => asked.filter.handler.as_deref() == Some(one.subject.as_str()),
                _ => about.is_some(),
            };
            if is_about {
                entries.push(audited(one, what, id, about));
            }
        }
        Ok(is_cut)
    }

    /// Returns those of some deliveries that a timeline is about, whenever they were accepted.
    async fn selected(
        &self,
        asked: &Asked,
        ids: Vec<DeliveryId>,
    ) -> Result<HashMap<DeliveryId, Delivery>, ApiError> {
        let mut selected = HashMap::new();
        if !asked.selects_deliveries() {
            let found = self.queue.outlines(ids).await.map_err(|e| store(&e))?;
            let found = found.into_iter().map(|one| one.delivery);
            selected.extend(found.map(|one| (one.id, Delivery::from(one))));
            return Ok(selected);
        }
        for id in ids {
            let beside = |by: i64| Some(DeliveryId::from_raw(id.as_raw().saturating_add(by)));
            let filter = Filter {
                from: None,
                to: None,
                before: beside(1),
                after: beside(-1),
                limit: 1,
                ..asked.filter.clone()
            };
            let found = self.deliveries(filter).await?.deliveries;
            selected.extend(found.into_iter().map(|one| (one.id, one)));
        }
        Ok(selected)
    }
}

/// Puts moments into the order of time.
fn sort(moments: &mut [Moment]) {
    moments.sort_by_key(|moment| (moment.at, moment.delivery, moment.what.known().copied()));
}

fn audited(one: Audited, what: What, id: Option<DeliveryId>, about: Option<&Delivery>) -> Moment {
    Moment {
        at: one.at,
        what: what.into(),
        delivery: id,
        alertname: about.map_or_else(String::new, |about| about.alertname.clone()),
        status: about.map_or_else(String::new, |about| about.status.clone()),
        handler: (what == What::Swapped).then_some(one.subject),
        person: Some(one.person).filter(|person| !person.is_empty()),
        detail: one.detail,
    }
}

/// Returns what has happened with a delivery: what its journal and its steps say, and how it began and ended.
fn moments(delivery: &Delivery, journal: &[JournalEntry], steps: &[Step]) -> Vec<Moment> {
    let moment = |at: Timestamp, what: What, handler: Option<String>, detail: String| Moment {
        at,
        what: what.into(),
        delivery: Some(delivery.id),
        alertname: delivery.alertname.clone(),
        status: delivery.status.clone(),
        handler,
        person: None,
        detail,
    };
    let mut moments = vec![moment(
        delivery.received_at,
        What::Received,
        None,
        delivery.route.clone(),
    )];
    for entry in journal.iter().filter(|entry| is_outside(entry)) {
        let step = steps.get(entry.step as usize);
        let handler = step.map(|step| step.handler.to_string());
        let doubt = if entry.ambiguous { " (ambiguous)" } else { "" };
        let kind = entry.kind.to_text();
        let detail = format!("{kind} {}: {}{doubt}", entry.request, entry.result);
        moments.push(moment(entry.at, What::Effect, handler, detail));
    }
    if let Some(at) = delivery.settled_at {
        let what = match delivery.state.known() {
            Some(State::Dead) => What::Dead,
            _ => What::Done,
        };
        let reason = delivery.reason.as_ref().and_then(Lenient::known);
        let reason = reason.map_or("", |reason: &Reason| reason.as_str());
        let error = delivery.last_error.as_deref();
        let detail = error.map_or_else(|| reason.to_owned(), |error| format!("{reason}: {error}"));
        moments.push(moment(at, what, None, detail));
    }
    moments
}

/// Returns whether a call has changed something outside the server.
fn is_outside(entry: &JournalEntry) -> bool {
    let is_own = entry.kind.is(CallKind::Kv) || entry.kind.is(CallKind::Timer);
    entry.effect && !is_own
}
