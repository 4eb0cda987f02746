//! `handler-sdk/src/bindings.rs` is what wit-bindgen makes of `wit/handler.wit`. It is checked in so that the build of a
//! handler does not begin with the build of a generator.

use handler_sdk::mock::assert_snapshot;
use tests::modules::workspace;
use wit_bindgen_core::{Files, WorldGenerator as _};
use wit_bindgen_rust::Opts;
use wit_parser::Resolve;

#[test]
fn the_sdks_bindings_are_generated_from_the_contract() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(workspace().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let options = Opts {
        format: true,
        additional_derive_attributes: ["PartialEq", "Eq", "Clone"].map(str::to_owned).to_vec(),
        export_macro_name: Some("export_hooks".to_owned()),
        pub_export_macro: true,
        runtime_path: Some("::handler_sdk::__private::wit_bindgen::rt".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .unwrap();
    let generated: Vec<(&str, &[u8])> = files.iter().collect();
    let [(_, code)] = generated[..] else {
        panic!("one file is generated, not {}", generated.len());
    };
    assert_snapshot(
        workspace().join("handler-sdk/src/bindings.rs"),
        std::str::from_utf8(code).unwrap(),
    );
}
