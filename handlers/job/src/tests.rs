//! Every verdict, by the API's own JSON: the cases are in `fixtures/`, the messages in `snapshots/`.

use super::Job;

#[test]
fn every_verdict_has_its_message() {
    handler_kit::mock::all_cases::<Job>(env!("CARGO_MANIFEST_DIR"));
}
