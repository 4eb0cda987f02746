//! Every verdict, by the APIs' own JSON: the cases are in `fixtures/`, the messages in `snapshots/`.

use super::Certificates;

#[test]
fn every_verdict_has_its_message() {
    handler_kit::mock::all_cases::<Certificates>(env!("CARGO_MANIFEST_DIR"));
}
