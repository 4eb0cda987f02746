//! Only enriches, and declares so: its `act`, which would fail, is never called.

use handler_sdk::prelude::*;

/// The handler.
#[derive(Debug)]
pub struct Owner;

impl Handler for Owner {
    fn describe() -> Description {
        Description::new("owner", env!("CARGO_PKG_VERSION"), "Finds who owns it.").enrich_only()
    }

    fn enrich(_: &Cx, alert: &Alert, _: &Enrichment) -> Result<Enrichment, Failure> {
        Ok(Enrichment::new().with_fact("owner", format!("team-{}", alert.name)))
    }

    fn act(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        Err(Failure::permanent("it was called"))
    }
}

handler_sdk::export!(Owner);
