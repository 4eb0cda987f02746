//! What the mock host makes of a handler's results.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Host;
use crate::{Alert, Cx, Description, Enrichment, Facts, Failure, Handler};

struct Acts;

impl Handler for Acts {
    fn describe() -> Description {
        Description::new("acts", "1.0.0", "Returns the alert's labels as facts.")
    }

    fn act(_: &Cx, alert: &Alert, _: &Enrichment) -> Result<Facts, Failure> {
        let labels = alert.labels.iter();
        Ok(labels.map(|(name, value)| (name, value)).collect())
    }
}

fn facts(name: &str, value: &str) -> Facts {
    let alert = Alert::new("A").with_label(name, value);
    Host::new().act::<Acts>(&alert, &Enrichment::new()).unwrap()
}

#[test]
fn facts_of_act_with_the_hosts_names_are_dropped() {
    assert_eq!(facts("timer.key", "again"), facts("alertname", "A"));
    assert_eq!(facts("own", "1").get("own"), Some("1"));
}

#[test]
fn facts_of_act_that_the_host_refuses_are_a_panic() {
    let long = "x".repeat(8_193);
    for (name, value, why) in [
        ("", "1", "a fact without a valid name"),
        (
            "long",
            long.as_str(),
            "fact_bytes: the fact \"long\", at most 8192",
        ),
    ] {
        let refused = catch_unwind(AssertUnwindSafe(|| facts(name, value))).unwrap_err();
        let told = refused.downcast_ref::<String>().unwrap();
        assert!(
            told.starts_with("the host refuses what `act` returned") && told.contains(why),
            "{told}"
        );
    }
}
