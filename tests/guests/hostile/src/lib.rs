//! Does harm in the way that the alert's label `mode` names: in `act`, or, by the label `step`, in `enrich` or in both.

#![allow(unsafe_code, reason = "the generated glue")]

use handler_sdk::bindings::{self, alert_manager, exports};

mod computing;
mod floods;
mod memory;
mod output;
mod reach;
mod retries;

use alert_manager::handler::types::Block;
use exports::alert_manager::handler::hooks::{
    Alert, Call, Description, Enrichment, Failure, Guest, Labels,
};

/// The handler's name. Padded, because a test replaces it, or the mode, with another.
static NAME: &str = "hostile                                                         ";
/// The mode of `describe`.
static DESCRIBE: &str = "describe:well                   ";

struct Hostile;
bindings::export_hooks!(Hostile with_types_in bindings);

/// The result of a mode: facts, and for an enrichment blocks.
type Harm = Result<(Labels, Vec<Block>), Failure>;

impl Guest for Hostile {
    fn describe() -> Description {
        let well = Description {
            name: std::hint::black_box(NAME).trim_end().to_owned(),
            version: "0.1.0".into(),
            summary: "Means harm.".into(),
            alerts: vec!["Hostile".into()],
            more: vec![],
        };
        match std::hint::black_box(DESCRIBE).trim_end() {
            "describe:well" => well,
            "describe:verbose" => Description {
                alerts: (0..10_000).map(|n| format!("Alert{n}")).collect(),
                ..well
            },
            "describe:gigabyte" => Description {
                summary: "x".repeat(20 << 20),
                ..well
            },
            "describe:traversal" => Description {
                name: "../../etc/cron.d/x".into(),
                ..well
            },
            "describe:terminal" => Description {
                summary: "\x1b]0;owned\x07\nnext line".into(),
                ..well
            },
            "describe:reach" => Description {
                summary: reach::everything(),
                ..well
            },
            mode => {
                let mode = mode.trim_start_matches("describe:");
                let _ = computing::harm(mode)
                    .or_else(|| memory::harm(mode))
                    .or_else(|| floods::harm(mode));
                well
            }
        }
    }

    fn enrich(call: Call, alert: Alert, _: Enrichment) -> Result<Enrichment, Failure> {
        let (facts, blocks) = match label(&alert, "step") {
            "enrich" | "both" => harm(&call, &alert)?,
            _ => (vec![], vec![]),
        };
        Ok(Enrichment { facts, blocks })
    }

    fn act(call: Call, alert: Alert, _: Enrichment) -> Result<Labels, Failure> {
        match label(&alert, "step") {
            "enrich" => Ok(vec![]),
            _ => harm(&call, &alert).map(|(facts, _)| facts),
        }
    }
}

fn label<'a>(alert: &'a Alert, name: &str) -> &'a str {
    let mut labels = alert.labels.iter();
    labels
        .find(|(known, _)| known == name)
        .map_or("", |(_, value)| value.as_str())
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn harm(call: &Call, alert: &Alert) -> Harm {
    let mode = label(alert, "mode");
    if mode.is_empty() {
        return Ok((vec![], vec![]));
    }
    computing::harm(mode)
        .or_else(|| memory::harm(mode))
        .or_else(|| floods::harm(mode))
        .or_else(|| output::harm(mode))
        .or_else(|| reach::harm(mode, label(alert, "url")))
        .or_else(|| retries::harm(mode, label(alert, "url"), call.attempt))
        .unwrap_or_else(|| Err(Failure::Permanent(format!("there is no mode {mode:?}"))))
}
