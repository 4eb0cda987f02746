//! The cases of `fixtures/`: one for each verdict and each end.

#[test]
fn every_verdict_has_its_message() {
    handler_kit::mock::all_cases::<super::Volume>(env!("CARGO_MANIFEST_DIR"));
}
