//! `/deliveries/preview`, `/deliveries/apply` and `/deliveries/applied`: retry or cancel what was selected, after a look at what that
//! would do.

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use url::form_urlencoded::Serializer;

use super::filters;
use super::form::Form;
use super::frame::{Frame, Tab, Visit, go_to, show};
use super::query::Query;
use crate::alert::DeliveryId;
use crate::api::{self, Action, Made};
use crate::http::answers::{self, Answers};
use crate::http::error::ApiError;
use crate::journal::CallKind;
use crate::queue::Force;

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewView {
    frame: Frame,
    action: Action,
    preview: api::Preview,
    /// How many deliveries something would be done with.
    count: usize,
    /// How many would be retried by force only.
    overtaken: usize,
    /// The list that the person comes from.
    query: Query,
}

#[derive(Template)]
#[template(path = "applied.html")]
struct AppliedView {
    frame: Frame,
    action: Action,
    done: Vec<api::Earlier>,
    refused: Vec<api::Previewed>,
    query: Query,
}

/// Shows what would be done.
pub(super) async fn preview(
    State(answers): State<Arc<Answers>>,
    form: Form,
) -> Result<Response, ApiError> {
    let action = action(form.get("action"))?;
    let preview = answers.preview(action, selected(&form, "id")?).await?;
    let taken = preview.deliveries.iter();
    let (overtaken, taken): (Vec<_>, Vec<_>) = taken
        .filter(|one| one.refused.is_none())
        .partition(|one| one.overtaken);
    let title = format!("{} deliveries?", verb(action));
    show(&PreviewView {
        frame: form.visit.frame(title, Tab::Deliveries),
        action,
        count: taken.len(),
        overtaken: overtaken.len(),
        query: Query::parse(form.get("query")),
        preview,
    })
}

/// Does it, even if the browser goes away meanwhile, and leads to what was done: that page can be loaded again and does nothing.
pub(super) async fn apply(
    State(answers): State<Arc<Answers>>,
    form: Form,
) -> Result<Response, ApiError> {
    let action = action(form.get("action"))?;
    let mut ids: Vec<_> = selected(&form, "id")?
        .into_iter()
        .map(|id| (id, Force::No))
        .collect();
    if form.get("force") == "true" {
        let overtaken = selected(&form, "overtaken")?;
        ids.extend(overtaken.into_iter().map(|id| (id, Force::Yes)));
    }
    ids.sort_unstable_by_key(|(id, _)| *id);
    ids.dedup_by_key(|(id, _)| *id);
    answers::check_selected(ids.len())?;
    let person = form.visit.person().clone();
    let results = answers::to_its_end(async move {
        let mut results = Vec::with_capacity(ids.len());
        for (id, force) in ids {
            let result = match action {
                Action::Retry => answers.retry(&person, id, force).await.map(drop),
                Action::Cancel => answers.cancel(&person, id).await.map(drop),
            };
            results.push((id, result));
        }
        Ok(results)
    })
    .await?;
    let mut query = Serializer::new(String::new());
    query.append_pair("action", &verb(action).to_lowercase());
    query.append_pair("query", form.get("query"));
    let is_down = |error: &ApiError| error.status() == StatusCode::SERVICE_UNAVAILABLE;
    let (mut has_done, mut failures) = (false, Vec::new());
    for (id, result) in results {
        let name = if result.is_ok() { "id" } else { "not" };
        query.append_pair(name, &id.to_string());
        has_done |= result.is_ok();
        failures.extend(result.err());
    }
    match failures.into_iter().find(is_down) {
        Some(error) if !has_done => Err(error),
        _ => Ok(go_to(&format!("./applied?{}", query.finish()))),
    }
}

/// Shows what was done, and what has become of it since.
pub(super) async fn applied(
    State(answers): State<Arc<Answers>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let pairs: Vec<_> =
        url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let get = |name: &str| {
        let pair = pairs.iter().find(|(known, _)| known == name);
        pair.map_or("", |(_, value)| value)
    };
    let ids = |name: &'static str| {
        let named = pairs.iter().filter(move |(known, _)| known == name);
        named
            .map(|(_, id)| answers::parse_id(id))
            .collect::<Result<Vec<_>, _>>()
    };
    let action = action(get("action"))?;
    let (done, not) = (ids("id")?, ids("not")?);
    answers::check_selected(done.len() + not.len())?;
    let refused = match not.is_empty() {
        true => Vec::new(),
        false => answers.preview(action, not).await?.deliveries,
    };
    let what = match action {
        Action::Retry => "Retried",
        Action::Cancel => "Cancelled",
    };
    show(&AppliedView {
        frame: visit.frame(what, Tab::Deliveries),
        action,
        done: answers.outlines(done).await?,
        refused,
        query: Query::parse(get("query")),
    })
}

fn action(name: &str) -> Result<Action, ApiError> {
    match name {
        "retry" => Ok(Action::Retry),
        "cancel" => Ok(Action::Cancel),
        _ => Err(answers::bad("action is retry or cancel".to_owned())),
    }
}

fn selected(form: &Form, field: &'static str) -> Result<Vec<DeliveryId>, ApiError> {
    form.all(field).map(answers::parse_id).collect()
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Retry => "Retry",
        Action::Cancel => "Cancel",
    }
}

/// Returns effects in words, as in `2 Slack messages, 1 HTTP request`.
fn in_words(made: &[Made]) -> String {
    let part = |made: &Made| {
        let noun = match made.kind.known() {
            Some(CallKind::Slack) => "Slack call",
            Some(CallKind::Http) => "HTTP request",
            Some(CallKind::Kv) => "write to kv",
            Some(CallKind::Timer) => "change of a timer",
            _ => "effect",
        };
        match (made.count, noun) {
            (1, noun) => format!("1 {noun}"),
            (count, "write to kv") => format!("{count} writes to kv"),
            (count, "change of a timer") => format!("{count} changes of timers"),
            (count, noun) => format!("{count} {noun}s"),
        }
    };
    let parts: Vec<_> = made.iter().map(part).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_counted_in_words() {
        let made = |kind: CallKind, count| Made {
            kind: kind.into(),
            count,
        };
        let all = [
            made(CallKind::Http, 2),
            made(CallKind::Slack, 1),
            made(CallKind::Kv, 3),
        ];
        assert_eq!(
            in_words(&all),
            "2 HTTP requests, 1 Slack call, 3 writes to kv"
        );
        assert_eq!(in_words(&[]), "");
    }
}
