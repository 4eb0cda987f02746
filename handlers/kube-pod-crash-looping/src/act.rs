//! Posts the message of a firing alert, then what did not fit into its thread.

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
    let delivery_id = cx.call().delivery_id.as_str();
    let source = Source {
        alert,
        findings: findings.as_ref(),
        others: &others,
        settings: &settings,
        delivery_id,
        now: cx.now().seconds,
    };
    let composed = source.firing();
    let earlier = Record::read(cx, alert).filter(|record| record.delivery == delivery_id);
    let at = match earlier {
        // Another try of this delivery, which failed after the message was out.
        Some(record) => MessageRef::from(record.at),
        None => {
            let message = Message::new(&settings.channel, composed.text.clone())
                .blocks(composed.blocks)
                .key("message");
            let at = cx.slack().post(message)?;
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
    if !composed.thread.is_empty() {
        let answer = Message::new(&settings.channel, "Log and further findings")
            .blocks(composed.thread)
            .thread(&at)
            .key("thread");
        facts.insert("slack.thread", in_thread(cx, answer)?);
    }
    Ok(facts)
}

/// Posts an answer. The message itself is out: only a failure that may pass is worth another try.
pub(crate) fn in_thread(cx: &Cx, answer: Message) -> Result<&'static str, Failure> {
    match cx.slack().post(answer).map_err(Failure::from) {
        Ok(_) => Ok("posted"),
        Err(failure) if failure.is_permanent() => {
            cx.log().warn(
                "the thread could not be answered",
                &[("why", &failure.message())],
            );
            Ok("failed")
        }
        Err(failure) => Err(failure),
    }
}
