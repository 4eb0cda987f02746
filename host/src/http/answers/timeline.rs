//! What happened between two times: when alerts came, what was done for them, how that ended, and what people did.

use std::collections::HashMap;

use super::Answers;
use super::deliveries::{bad, parse_list_query, store};
use crate::alert::{DeliveryId, Timestamp};
use crate::api::{Delivery, Lenient, Moment, Story, Timeline, What};
use crate::http::error::ApiError;
use crate::queue::{AuditFilter, Audited, Filter, Reason, State};

/// How many deliveries one page is about.
const DELIVERIES_MAX: u32 = 200;

/// How many entries of the audit log one page has.
const AUDITED_MAX: u32 = 500;

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

impl Answers {
    /// Returns what happened with the deliveries that a query selects, as for the list of deliveries, and what people did in that
    /// time. Deliveries that were accepted before `from` are in it only with what a person did to them. With `person`, it is only
    /// what this person did.
    ///
    /// # Errors
    /// 400 if the query is not valid, 503 if the store does not answer.
    pub(in crate::http) async fn timeline(&self, query: &str) -> Result<Timeline, ApiError> {
        let asked = Asked::parse(query)?;
        let (from, to) = (asked.filter.from, asked.filter.to);
        let (mut listed, mut next) = (Vec::new(), None);
        if asked.person.is_none() {
            let mut filter = asked.filter.clone();
            filter.limit = filter.limit.min(DELIVERIES_MAX);
            let page = self.deliveries(filter).await?;
            (listed, next) = (page.deliveries, page.next);
        }
        let mut entries = Vec::new();
        for delivery in &listed {
            // Retention may have removed it since.
            if let Ok(story) = self.story(delivery.id).await {
                entries.extend(moments(&story));
            }
        }
        entries.retain(|moment| {
            from.is_none_or(|from| moment.at >= from) && to.is_none_or(|to| moment.at < to)
        });
        let deliveries = listed.len() as u64;
        entries.extend(self.audited(&asked, listed, next).await?);
        entries.retain(|moment| asked.what.is_none_or(|what| moment.what.is(what)));
        entries.sort_by_key(|moment| (moment.at, moment.delivery, moment.what.known().copied()));
        Ok(Timeline {
            entries,
            deliveries,
            next,
        })
    }

    /// Returns what the audit log has of the time that a page of deliveries covers.
    async fn audited(
        &self,
        asked: &Asked,
        listed: Vec<Delivery>,
        next: Option<DeliveryId>,
    ) -> Result<Vec<Moment>, ApiError> {
        if listed.is_empty() && next.is_some() {
            // How far the page has looked is not known: the next ones have them.
            return Ok(Vec::new());
        }
        // Each entry is on one page: pages end where the next one begins.
        let oldest = listed.last().filter(|_| next.is_some());
        let from = oldest.map(|oldest| oldest.received_at);
        let to = match asked.filter.before {
            Some(before) => self.delivery(before).await?.map(|later| later.received_at),
            None => None,
        };
        let filter = AuditFilter {
            from: from.max(asked.filter.from),
            to: to.or(asked.filter.to),
            person: asked.person.clone(),
            limit: AUDITED_MAX,
            ..AuditFilter::default()
        };
        let found = self.queue.audited(filter).await.map_err(|e| store(&e))?;
        let mut known: HashMap<DeliveryId, Delivery> =
            listed.into_iter().map(|one| (one.id, one)).collect();
        let mut moments = Vec::new();
        for one in found {
            let Some(what) = What::named(&one.what) else {
                // A newer version may keep more.
                continue;
            };
            let id = one.subject.parse::<DeliveryId>().ok();
            if asked.selects_deliveries() && !is_about(&one, what, id, asked, &known) {
                continue;
            }
            if let Some(id) = id.filter(|id| !known.contains_key(id))
                && let Some(found) = self.delivery(id).await?
            {
                known.insert(id, found);
            }
            let about = id.and_then(|id| known.get(&id));
            moments.push(audited(one, what, id, about));
        }
        Ok(moments)
    }

    /// Returns a delivery as it is listed; nothing if retention has removed it.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, ApiError> {
        let filter = Filter {
            before: Some(DeliveryId::from_raw(id.as_raw().saturating_add(1))),
            limit: 1,
            ..Filter::default()
        };
        let found = self.deliveries(filter).await?.deliveries.pop();
        Ok(found.filter(|found| found.id == id))
    }
}

/// Returns whether an entry of the audit log is about the deliveries, or the handler, that a timeline is asked for.
fn is_about(
    one: &Audited,
    what: What,
    id: Option<DeliveryId>,
    asked: &Asked,
    listed: &HashMap<DeliveryId, Delivery>,
) -> bool {
    match what {
        What::Swapped => asked.filter.handler.as_deref() == Some(one.subject.as_str()),
        _ => id.is_some_and(|id| listed.contains_key(&id)),
    }
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

fn moments(story: &Story) -> Vec<Moment> {
    let delivery = &story.delivery;
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
    for entry in story.journal.iter().filter(|entry| entry.effect) {
        let step = story.steps.get(entry.step as usize);
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
