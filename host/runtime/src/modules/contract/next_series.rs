//! Shows how the next series of the contract is served beside the first, with one that is made up
//! (`tests/fixtures/wit/v0_2`): its bindings share the linker, and the `hooks` that a module exports decide by which it is called.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::contract_of;
use crate::bindings::{self, Contract, log};
use crate::limits::advice::Advice;
use crate::limits::bounds::Bounds;
use crate::limits::quota::Limits;
use crate::sandbox::clock::StepClock;
use crate::sandbox::cpu::CpuMeter;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::guest::{GuestState, HasGuest as _};
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::store::new_store;
use crate::trace::log::{LogBudget, LogSource};
use crate::trace::recorder::Recorder;
use alert_manager_core::alert::{HandlerName, Timestamp};

/// The bindings of the made-up series.
mod v0_2 {
    wasmtime::component::bindgen!({
        path: "../../tests/fixtures/wit/v0_2",
        world: "handler",
        imports: { default: trappable },
        exports: { default: async },
    });
}

/// A call of the new interface becomes one of the old, so that both have the same limits and the same story.
impl v0_2::alert_manager::handler::log::Host for GuestState {
    fn write(&mut self, line: String) -> wasmtime::Result<()> {
        log::Host::write(self, log::Level::Info, line, Vec::new())
    }
}

/// The series that the server of this test has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    V0_1,
    V0_2,
}

const KNOWN: [(Series, &str); 2] = [
    (Series::V0_1, Contract::V0_1.version()),
    (Series::V0_2, "0.2.0"),
];

/// Encodes a core module as a component of a contract.
fn component(wit: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("handler.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}

/// A module of the first series. It logs `old`, and that is its name.
fn old() -> Vec<u8> {
    let version = Contract::V0_1.version();
    let core = format!(
        r#"(module
          (import "alert-manager:handler/log@{version}" "write" (func $log (param i32 i32 i32 i32 i32)))
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
          (data (i32.const 64) "old")
          (data (i32.const 16) "\40\00\00\00\03\00\00\00\40\00\00\00\03\00\00\00")
          (func (export "alert-manager:handler/hooks@{version}#describe") (result i32)
            (call $log (i32.const 2) (i32.const 64) (i32.const 3) (i32.const 0) (i32.const 0))
            (i32.const 16))
          (func (export "alert-manager:handler/hooks@{version}#enrich") (param i32) (result i32) (i32.const 512))
          (func (export "alert-manager:handler/hooks@{version}#act") (param i32) (result i32) (i32.const 512)))"#
    );
    component(include_str!("../../../../../wit/handler.wit"), &core)
}

/// A module of the made-up series. It logs `new`, and that is its name.
fn new() -> Vec<u8> {
    let core = r#"(module
        (import "alert-manager:handler/log@0.2.0" "write" (func $log (param i32 i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (data (i32.const 64) "new")
        (data (i32.const 16) "\40\00\00\00\03\00\00\00")
        (func (export "alert-manager:handler/hooks@0.2.0#describe") (result i32)
          (call $log (i32.const 64) (i32.const 3))
          (i32.const 16))
        (func (export "alert-manager:handler/hooks@0.2.0#act") (param i32 i32) (result i32) (i32.const 512)))"#;
    let wit = include_str!("../../../../../tests/fixtures/wit/v0_2/handler.wit");
    component(wit, core)
}

fn store(sandbox: &Sandbox, recorder: &Arc<Recorder>) -> Store<GuestState> {
    let guest = GuestState::new(
        Arc::clone(recorder),
        MemoryMeter::for_describe(Bounds::default()),
        Limits::default(),
        (StepClock::at(Timestamp::UNIX_EPOCH), [0; 32]),
        Advice::Describe,
    );
    new_store(sandbox, guest, CpuMeter::new(), &sandbox.share_of_describe)
}

/// Returns the series by which a module is called, its name, and what it has logged.
async fn described(module: &[u8]) -> (Series, String, String) {
    let sandbox = Sandbox::new(Bounds::default()).unwrap();
    let mut linker = Linker::<GuestState>::new(&sandbox.engine);
    log::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, GuestState::guest).unwrap();
    v0_2::alert_manager::handler::log::add_to_linker::<_, HasSelf<GuestState>>(
        &mut linker,
        |state| state,
    )
    .unwrap();
    let source = LogSource {
        handler: HandlerName::new("(describe)"),
        about: None,
    };
    let budget = LogBudget::new(&Limits::default(), Arc::default());
    let recorder = Arc::new(Recorder::new(source, budget));
    let mut store = store(&sandbox, &recorder);
    let component = Component::new(&sandbox.engine, module).unwrap();
    let ty = component.component_type();
    let exports: Vec<_> = ty.exports(&sandbox.engine).map(|(name, _)| name).collect();
    let (series, _) = contract_of(&exports, &KNOWN).unwrap();
    let name = match series {
        Series::V0_1 => {
            // The other interfaces of this series are not imported, so they need not be there.
            let handler = bindings::Handler::instantiate_async(&mut store, &component, &linker);
            let handler = handler.await.unwrap();
            let hooks = handler.alert_manager_handler_hooks();
            hooks.call_describe(&mut store).await.unwrap().name
        }
        Series::V0_2 => {
            let handler = v0_2::Handler::instantiate_async(&mut store, &component, &linker);
            let handler = handler.await.unwrap();
            let hooks = handler.alert_manager_handler_hooks();
            hooks.call_describe(&mut store).await.unwrap()
        }
    };
    let logs = recorder.finish().trace.logs;
    (series, name, logs[0].message.clone())
}

#[tokio::test]
async fn two_series_share_a_linker_and_each_module_is_called_by_its_own() {
    let expected = |series, name: &str| (series, name.to_owned(), name.to_owned());
    assert_eq!(described(&old()).await, expected(Series::V0_1, "old"));
    assert_eq!(described(&new()).await, expected(Series::V0_2, "new"));
}

#[test]
fn with_two_series_what_is_between_or_beyond_them_is_refused_with_both() {
    let check = |version: &str| {
        let name = format!("alert-manager:handler/hooks@{version}");
        let series = contract_of(&[&name], &KNOWN).map(|(series, _)| series);
        series.map_err(|error| error.to_string())
    };
    assert_eq!(check("0.1.9"), Ok(Series::V0_1));
    assert_eq!(check("0.2.3"), Ok(Series::V0_2));
    let newer = check("0.3.0").unwrap_err();
    let both = format!("this server has {} and 0.2.0", Contract::V0_1.version());
    assert!(
        newer.contains("newer version") && newer.contains(&both),
        "{newer}"
    );
    let older = check("0.0.1").unwrap_err();
    assert!(
        older.contains("older version") && older.contains(&both),
        "{older}"
    );
}
