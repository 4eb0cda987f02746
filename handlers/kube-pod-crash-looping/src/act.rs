//! Posts the message of a firing alert, and in its thread what did not fit.

use handler_sdk::prelude::*;

use crate::findings::Findings;
use crate::message::Source;
use crate::record::Record;
use crate::settings::Settings;

/// Runs the step.
pub(crate) fn run(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
    let settings = Settings::read(cx);
    let findings = Findings::from_enrichment(found);
    let others = Findings::of_others(found);
    let source = Source::new(cx, alert, findings.as_ref(), &others, &settings);
    let card = source.firing();
    let delivery_id = cx.call().delivery_id.as_str();
    let earlier = Record::read(cx, alert).filter(|record| record.delivery == delivery_id);
    let at = match earlier {
        // A retry of this delivery, which failed after the message was posted.
        Some(record) => MessageRef::from(record.at),
        None => {
            let at = cx
                .slack()
                .post(card.message(&settings.channel).key("message"))?;
            let record = Record {
                at: at.as_str().to_owned(),
                delivery: delivery_id.to_owned(),
                verdict: source.verdict_line().to_string(),
                change: source.change_line().to_string(),
            };
            record.keep(cx, alert);
            at
        }
    };
    let mut facts = Facts::new()
        .with("slack.channel", &settings.channel)
        .with("slack.message", at.as_str());
    let title = "Log and further findings";
    if let Some(outcome) = card.post_thread(cx, &settings.channel, title, &at)? {
        facts.insert("slack.thread", outcome);
    }
    Ok(facts)
}
