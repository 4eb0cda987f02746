//! Alerts that no route took: their deliveries are done, and nothing has run.

use std::collections::BTreeSet;

use super::Followed;
use crate::api::Accepted;
use crate::cli::client::Client;
use crate::cli::print::{self, one_line};
use crate::config::closest;
use crate::queue::Reason;
use crate::router::Matcher;

/// The alertnames of these alerts; empty for an alert without one.
pub(super) struct Unrouted(pub(super) BTreeSet<String>);

impl Unrouted {
    /// Returns those among the alerts that were just stored, and those whose story says so.
    pub(super) fn of(accepted: &Accepted, stories: &[Followed]) -> Self {
        let is_unrouted = |handlers: &[_]| handlers.is_empty();
        let stored = accepted.deliveries.iter();
        let stored = stored.filter(|taken| taken.handlers.as_deref().is_some_and(is_unrouted));
        let stored = stored.map(|taken| taken.alertname.to_string());
        let told = stories.iter().map(|followed| &followed.story.delivery);
        let told = told.filter(|delivery| {
            let reason = delivery.reason.as_ref();
            reason.is_some_and(|reason| reason.is(Reason::Unrouted))
        });
        let told = told.map(|delivery| delivery.alertname.clone());
        Self(stored.chain(told).collect())
    }

    /// Says for each that no handler ran, with the name that was probably meant.
    pub(super) fn report(&self, client: &Client) {
        if self.0.is_empty() {
            return;
        }
        let known = known(client);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for name in &self.0 {
            print::note(&sentence(name, &known));
        }
    }
}

fn sentence(name: &str, known: &[&str]) -> String {
    if name.is_empty() {
        return "no route took the alert, so no handler ran: it has no label alertname, by which routes and modules take alerts. Add alertname=NAME".to_owned();
    }
    let next = match closest(name, known) {
        Some(near) => format!("did you mean {}?", one_line(near)),
        None => "`alert-manager routes LABEL=VALUE` shows why each route does not match".to_owned(),
    };
    let name = one_line(name);
    format!("no route took {name}, so no handler ran: {next}")
}

/// Returns the alertnames that the server's routes and modules name; none if it does not say.
fn known(client: &Client) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    if let Ok(answer) = client.routes().and_then(|answer| answer.read()) {
        let texts = answer.routes.iter().flat_map(|route| &route.matchers);
        let matchers = texts.filter_map(|text| Matcher::parse(text).ok()).flatten();
        known.extend(matchers.filter_map(|matcher| matcher.alertname().map(str::to_owned)));
    }
    if let Ok(answer) = client.handlers().and_then(|answer| answer.read()) {
        let alerts = answer
            .handlers
            .into_iter()
            .flat_map(|handler| handler.alerts);
        known.extend(alerts.filter(|alert| alert != "*"));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn the_nearest_name_is_proposed() {
        let known = ["KubePodCrashLooping", "DiskFull"];
        for (name, part) in [
            ("KubePodCrashLoping", "did you mean KubePodCrashLooping?"),
            ("Watchdog", "alert-manager routes LABEL=VALUE"),
            ("", "has no label alertname"),
        ] {
            let said = sentence(name, &known);
            assert!(said.starts_with("no route took "), "{said}");
            assert!(said.contains(part), "{said}");
        }
    }
}
