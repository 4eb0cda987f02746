//! `/deliveries/preview` and `/deliveries/apply`: retry or cancel what was selected, after a look at what that would do.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::filters;
use super::form::Form;
use super::frame::{Frame, Tab, show};
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
}

#[derive(Template)]
#[template(path = "applied.html")]
struct AppliedView {
    frame: Frame,
    action: Action,
    done: Vec<DeliveryId>,
    refused: Vec<(DeliveryId, String)>,
}

/// Shows what would be done.
pub(super) async fn preview(
    State(answers): State<Arc<Answers>>,
    form: Form,
) -> Result<Response, ApiError> {
    let action = action(&form)?;
    let preview = answers.preview(action, selected(&form)?).await?;
    let taken = preview
        .deliveries
        .iter()
        .filter(|one| one.refused.is_none());
    let title = format!("{} deliveries?", verb(action));
    show(&PreviewView {
        frame: form.visit.frame(title, Tab::Deliveries),
        action,
        count: taken.count(),
        preview,
    })
}

/// Does it, and shows what was done.
pub(super) async fn apply(
    State(answers): State<Arc<Answers>>,
    form: Form,
) -> Result<Response, ApiError> {
    let action = action(&form)?;
    let ids = selected(&form)?;
    answers::check_selected(ids.len())?;
    let person = form.visit.person();
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        let result = match action {
            Action::Retry => answers.retry(person, id, Force::No).await.map(drop),
            Action::Cancel => answers.cancel(person, id).await.map(drop),
        };
        match result {
            Ok(()) => done.push(id),
            Err(error) => refused.push((id, error.message().to_owned())),
        }
    }
    let what = match action {
        Action::Retry => "Retried",
        Action::Cancel => "Cancelled",
    };
    show(&AppliedView {
        frame: form.visit.frame(what, Tab::Deliveries),
        action,
        done,
        refused,
    })
}

fn action(form: &Form) -> Result<Action, ApiError> {
    match form.get("action") {
        "retry" => Ok(Action::Retry),
        "cancel" => Ok(Action::Cancel),
        _ => Err(answers::bad("action is retry or cancel".to_owned())),
    }
}

fn selected(form: &Form) -> Result<Vec<DeliveryId>, ApiError> {
    form.all("id").map(answers::parse_id).collect()
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
