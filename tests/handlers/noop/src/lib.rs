//! Does nothing: what remains is what the server costs.

use handler_sdk::prelude::*;

/// The handler.
#[derive(Debug)]
pub struct Noop;

impl Handler for Noop {
    fn describe() -> Description {
        Description::new("noop", env!("CARGO_PKG_VERSION"), "Does nothing.")
            .alerts(["Bench000"])
            .act_only()
    }

    fn act(_: &Cx, _: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        Ok(Facts::new())
    }
}

handler_sdk::export!(Noop);
