//! The handler of the benchmark: typical work on strings, without host calls unless an alert asks for them.

use std::hint::black_box;

use handler_sdk::prelude::*;

/// The handler. The benchmark loads it many times, each time with other digits in its name.
#[derive(Debug)]
pub struct Bench;

impl Handler for Bench {
    fn describe() -> Description {
        // `black_box` keeps these texts in the module's data, so that the benchmark can change their digits there.
        Description::new(
            black_box("bench-handler-000"),
            env!("CARGO_PKG_VERSION"),
            "Works on strings.",
        )
        .alerts([black_box("Bench000")])
    }

    fn enrich(_: &Cx, alert: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
        let place = format!(
            "{}/{}",
            alert.label("namespace").unwrap_or("-"),
            alert.label("pod").unwrap_or("-")
        );
        Ok(Enrichment::new()
            .with_fact("place", place)
            .with_fact("severity", alert.label("severity").unwrap_or("none")))
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let place = found.fact("place").unwrap_or_default();
        let said = format!("{} at {place}", alert.name);
        if let Some(url) = alert.label("post_to") {
            cx.http()
                .post(url)
                .body(said.clone())
                .send()?
                .error_for_status()?;
        }
        Ok(Facts::new().with("said", said))
    }
}

handler_sdk::export!(Bench);
