//! Every verdict, by what Prometheus' API answers: the cases are in `fixtures/`, the messages in `snapshots/`.

use super::TargetDown;

#[test]
fn every_verdict_has_its_message() {
    handler_kit::mock::all_cases::<TargetDown>(env!("CARGO_MANIFEST_DIR"));
}
