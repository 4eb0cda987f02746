//! Shows the message of a firing alert, and in its thread what did not fit.

use handler_sdk::incident::Incident;
use handler_sdk::prelude::*;

use crate::findings::Findings;
use crate::message::Source;
use crate::settings::Settings;

/// The notes that the incident keeps for its end, when they can no longer be found out. Both are mrkdwn.
pub(crate) const VERDICT: &str = "verdict";
pub(crate) const CHANGE: &str = "change";

/// Runs the step.
pub(crate) fn run(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    let settings = Settings::read(cx);
    let findings = Findings::from_enrichment(found);
    let incident = Incident::open(cx, alert, found, &settings.channel);
    let others = Findings::of_others(incident.found());
    let source = Source::new(cx, alert, findings.as_ref(), &others, &settings);
    // If this delivery of a storm found nothing, what an earlier one found is still an example.
    let earlier = || Mrkdwn::raw(incident.note(VERDICT).unwrap_or_default());
    let one = source.one_of_storm().unwrap_or_else(earlier);
    if let Some(card) = source.storm(one.clone()) {
        return incident.keep_note(VERDICT, one.to_string()).tell(&card);
    }
    incident
        .keep_note(VERDICT, source.verdict_line().to_string())
        .keep_note(CHANGE, source.change_line().to_string())
        .further("Log and further findings")
        .tell(&source.firing())
}
