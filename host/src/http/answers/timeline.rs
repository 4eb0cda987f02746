//! What happened between two times: when alerts came, what was done for them, how that ended.

use super::Answers;
use super::deliveries::{bad, parse_list_query};
use crate::api::{Lenient, Moment, Story, Timeline, What};
use crate::http::error::ApiError;
use crate::queue::{Reason, State};

/// How many deliveries one page is about.
const DELIVERIES_MAX: u32 = 200;

impl Answers {
    /// Returns what happened with the deliveries that a query selects, as for the list of deliveries. Those that were accepted
    /// before `from` are not in it.
    ///
    /// # Errors
    /// 400 if the query is not valid, 503 if the store does not answer.
    pub(in crate::http) async fn timeline(&self, query: &str) -> Result<Timeline, ApiError> {
        let mut filter = parse_list_query(query)?;
        if filter.limit > DELIVERIES_MAX {
            return Err(bad(format!("limit is at most {DELIVERIES_MAX} here")));
        }
        let (from, to) = (filter.from, filter.to);
        filter.limit = filter.limit.min(DELIVERIES_MAX);
        let page = self.deliveries(filter).await?;
        let mut entries = Vec::new();
        for delivery in &page.deliveries {
            // Retention may have removed it since.
            if let Ok(story) = self.story(delivery.id).await {
                entries.extend(moments(&story));
            }
        }
        entries.retain(|moment| {
            from.is_none_or(|from| moment.at >= from) && to.is_none_or(|to| moment.at < to)
        });
        entries.sort_by_key(|moment| (moment.at, moment.delivery, moment.what.known().copied()));
        Ok(Timeline {
            entries,
            deliveries: page.deliveries.len() as u64,
            next: page.next,
        })
    }
}

fn moments(story: &Story) -> Vec<Moment> {
    let delivery = &story.delivery;
    let moment = |at, what: What, handler: Option<String>, detail: String| Moment {
        at,
        what: what.into(),
        delivery: delivery.id,
        alertname: delivery.alertname.clone(),
        status: delivery.status.clone(),
        handler,
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
