//! Every verdict, by the API's own JSON: the cases are in `fixtures/`, the messages in `snapshots/`.

use super::Hpa;

#[test]
fn every_verdict_has_its_message() {
    handler_kit::mock::all_cases::<Hpa>(env!("CARGO_MANIFEST_DIR"));
}
