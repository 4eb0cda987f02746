//! `handler-sdk/src/bindings.rs` is what wit-bindgen makes of `wit/handler.wit`. It is checked in so that the build of a
//! handler does not begin with the build of a generator. A module that was built for an earlier version runs as before.

use std::sync::Arc;

use alert_manager::alert::StepKind;
use alert_manager::description::needs_no_declaration;
use handler_sdk::mock::assert_snapshot;
use tests::harness::Harness;
use tests::modules::{self, workspace};
use tests::raw::{self, Core, World};
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

#[test]
fn the_settings_that_the_sdk_reads_need_no_declaration() {
    for setting in handler_sdk::layout::SETTINGS {
        assert!(needs_no_declaration(setting.name()), "{}", setting.name());
    }
    assert!(!needs_no_declaration("channel"));
}

/// A core module that imports every function of version 0.1.0, as guests of Python and TypeScript do, and calls two of them.
const ALL_OF_0_1_0: Core = Core {
    imports: r#"
        (import "alert-manager:handler/http@0.1.0" "send" (func (param
            i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/slack@0.1.0" "post" (func (param
            i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/slack@0.1.0" "update" (func (param
            i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/slack@0.1.0" "react" (func (param i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/kv@0.1.0" "get" (func (param i32 i32 i32)))
        (import "alert-manager:handler/kv@0.1.0" "set" (func (param i32 i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/kv@0.1.0" "set-if-absent" (func (param i32 i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/kv@0.1.0" "increment" (func $increment (param i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/kv@0.1.0" "remove" (func (param i32 i32 i32)))
        (import "alert-manager:handler/config@0.1.0" "get" (func (param i32 i32 i32)))
        (import "alert-manager:handler/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#,
    act: LOG_AND_COUNT,
    ..Core::WELL_BEHAVED
};

/// A core module that imports only what it calls, as guests of Rust do.
const PART_OF_0_1_0: Core = Core {
    imports: r#"
        (import "alert-manager:handler/kv@0.1.0" "increment" (func $increment (param i32 i32 i32 i32 i32 i32)))
        (import "alert-manager:handler/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#,
    act: LOG_AND_COUNT,
    ..Core::WELL_BEHAVED
};

/// Logs its name, and adds 3 to the number of that name.
const LOG_AND_COUNT: &str = "
    (call $log (i32.const 2) (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0))
    (call $increment (i32.const 1024) (i32.const 6) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 2048))
    (i32.const 512)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_of_version_0_1_0_runs_unchanged() {
    let harness = Harness::new();
    let all: &[&str] = &["config", "http", "kv", "log", "slack"];
    for (core, imports) in [(ALL_OF_0_1_0, all), (PART_OF_0_1_0, &["kv", "log"])] {
        let module = raw::component_of(&World::frozen_0_1_0(), "frozen", &core);
        let module = harness.runtime.loader().load(module).await.unwrap();
        assert_eq!(module.imports(), imports);
        assert_eq!(module.name().as_str(), "frozen");
        let module = Arc::new(module);
        let enriched = harness.call(&module).with(|i| i.step = StepKind::Enrich);
        assert!(enriched.run().await.outcome.is_ok());
        let acted = harness
            .call(&module)
            .with(|i| i.step = StepKind::Act)
            .run()
            .await;
        assert!(acted.outcome.is_ok(), "{:?}", acted.outcome);
        assert_eq!(acted.trace.logs[0].message, "frozen");
        let calls: Vec<_> = acted
            .trace
            .calls
            .iter()
            .map(|c| (&*c.request, &*c.result))
            .collect();
        assert_eq!(calls, [("increment frozen", "3")]);
    }
}

/// What the current version has and 0.1.0 has not is imported only by a module that calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_calls_nothing_new_imports_nothing_new() {
    let harness = Harness::new();
    let loader = harness.runtime.loader();
    let module = loader.load(modules::bytes("slack-notify")).await.unwrap();
    let is_new = |import: &&String| ["history", "timer"].contains(&import.as_str());
    let new: Vec<_> = module.imports().iter().filter(is_new).collect();
    assert_eq!(new, Vec::<&String>::new());
    let probe = harness.guest("probe").await;
    assert_eq!(
        probe.imports(),
        ["config", "history", "http", "kv", "log", "slack", "timer"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_not_uploaded_yet_and_the_answer_says_so() {
    let harness = Harness::new();
    let told = harness.probe("upload graph.png").await.facts().await;
    assert!(
        told[0].contains("Unavailable") && told[0].contains("cannot upload files to Slack yet"),
        "{told:?}"
    );
    let call = harness
        .probe("upload graph.png")
        .await
        .with(|i| i.step = StepKind::Enrich);
    let told = call.facts().await;
    assert!(
        told[0].contains("Denied") && told[0].contains("during enrich"),
        "{told:?}"
    );
}

/// `tests/fixtures/wit/v0_2` is a contract that nobody has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_of_another_series_is_refused_with_both_versions_and_what_to_do() {
    let harness = Harness::new();
    let module = raw::dummy(&World::of_next_series());
    let error = harness
        .runtime
        .loader()
        .load(module)
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "newer version of the contract",
        "update this server, or build the handler with an older SDK",
        "alert-manager:handler/hooks@0.2.0",
        &format!("this server has {}", raw::current_version()),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_of_a_later_version_runs_unless_it_imports_what_is_new_there() {
    let harness = Harness::new();
    let version = format!("handler@{}", raw::current_version());
    let later = |wit: String| wit.replace(&version, "handler@0.1.99");
    let module = raw::component_of(&World::with(later), "later", &Core::WELL_BEHAVED);
    let module = harness.runtime.loader().load(module).await.unwrap();
    assert_eq!(module.name().as_str(), "later");
    let with_more = World::with(|wit| {
        let more = "set: func(key: string, value: list<u8>";
        let new =
            format!("rename: func(key: string, new-key: string) -> result<_, error>;\n    {more}");
        assert!(wit.contains(more));
        later(wit.replacen(more, &new, 1))
    });
    let error = harness.runtime.loader().load(raw::dummy(&with_more)).await;
    let error = error.unwrap_err().to_string();
    for part in [
        "`rename` of alert-manager:handler/kv@0.1.99",
        "update this server",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
