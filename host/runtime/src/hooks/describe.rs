//! Calls `describe` in a store whose imports can do nothing but log: every other function of the contract answers `denied`.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, HasSelf, Linker, TypedFunc, Val};
use wasmtime::{Result, Trap};

use crate::bindings::{CONTRACT_PACKAGE, hooks as contract, log};
use crate::hooks::failure::failure_of;
use crate::hooks::{Describe, Exports};
use crate::limits::advice::Advice;
use crate::limits::quota::{LimitName, Limits};
use crate::limits::{DESCRIBE_CPU_MAX, DESCRIBE_WAIT_MAX, DESCRIBE_WALL_MAX};
use crate::sandbox::clock::StepClock;
use crate::sandbox::cpu::CpuMeter;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::guest::{GuestState, HasGuest as _};
use crate::sandbox::meter::MemoryMeter;
use crate::sandbox::store::new_store;
use crate::trace::recorder::Recorder;
use crate::types::StepFailure;
use alert_manager_core::alert::Timestamp;

/// The answer of every function except those of `log`.
const DENIED: &str = "describe may only describe: nothing is granted while a module is loaded";

/// The error of a function whose type has no way to answer `denied`. It ends the call as a permanent failure of the module,
/// because every retry would be denied too.
#[derive(Debug, thiserror::Error)]
#[error("{DENIED}")]
struct Denied;

/// Why a module could not be described.
pub(crate) enum DescribeFailure {
    /// Its types are not the contract's, which was found when it was instantiated.
    Mismatch(String),
    /// Its code failed or met a limit, or the server could not run it.
    Failed(StepFailure),
}

/// Calls `describe`. The names of the component's imports have been checked against the contract; the types of the functions
/// are taken from the component itself.
///
/// # Errors
/// Why the module could not be described.
pub(crate) async fn describe(
    sandbox: &Sandbox,
    component: &Component,
    exports: &Exports,
    recorder: Arc<Recorder>,
) -> Result<contract::Description, DescribeFailure> {
    let permit = sandbox.pool_permits.take_for_describe(DESCRIBE_WAIT_MAX);
    let _permit = permit
        .await
        .map_err(|error| DescribeFailure::Failed(StepFailure::Host(error.to_string())))?;
    let linker = denying_linker(sandbox, component)
        .map_err(|error| DescribeFailure::Mismatch(format!("{error:#}")))?;
    // The handler's name, and so its configured limits, are not known yet.
    let limits = Limits {
        cpu_max: DESCRIBE_CPU_MAX,
        wall_max: DESCRIBE_WALL_MAX,
        ..Limits::default()
    };
    let memory = MemoryMeter::for_describe(sandbox.bounds);
    let clock = StepClock::at(Timestamp::now());
    let guest = GuestState::new(recorder, memory, limits, (clock, [0; 32]), Advice::Describe);
    let cpu = CpuMeter::new();
    let mut store = new_store(sandbox, guest, cpu.clone(), &sandbox.share_of_describe);
    let mut is_instantiated = false;
    let described = cpu.measure(async {
        let instance = linker.instantiate_async(&mut store, component).await?;
        exports.check(&mut store, &instance)?;
        is_instantiated = true;
        let describe: TypedFunc<(), Describe> =
            instance.get_typed_func(&mut store, exports.describe)?;
        Result::Ok(describe.call_async(&mut store, ()).await?.0)
    });
    let deadline = Instant::now() + DESCRIBE_WALL_MAX;
    match tokio::time::timeout_at(deadline.into(), described).await {
        Ok(Ok(description)) => Ok(description),
        Ok(Err(error)) => Err(failure(&error, store.data(), is_instantiated)),
        Err(_) => Err(DescribeFailure::Failed(StepFailure::Timeout(format!(
            "{}: describe was not done within {DESCRIBE_WALL_MAX:?}",
            LimitName::Wall
        )))),
    }
}

fn failure(error: &wasmtime::Error, guest: &GuestState, is_instantiated: bool) -> DescribeFailure {
    let is_of_its_code = error.is::<Trap>() || error.is::<Denied>();
    match failure_of(error, guest) {
        StepFailure::Trap(_) if !is_instantiated && !is_of_its_code => {
            DescribeFailure::Mismatch(format!("{error:#}"))
        }
        failure => DescribeFailure::Failed(failure),
    }
}

/// Links WASI, `log`, and a denying function for every other function of the contract that the component imports.
fn denying_linker(sandbox: &Sandbox, component: &Component) -> Result<Linker<GuestState>> {
    let mut linker = sandbox.wasi_linker()?;
    log::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, GuestState::guest)?;
    let engine = &sandbox.engine;
    for (name, import) in component.component_type().imports(engine) {
        let is_denied = name
            .strip_prefix(CONTRACT_PACKAGE)
            .is_some_and(|interface| !interface.starts_with("/log@"));
        if let ComponentItem::ComponentInstance(interface) = import.ty
            && is_denied
        {
            let mut instance = linker.instance(name)?;
            for (function, item) in interface.exports(engine) {
                if let ComponentItem::ComponentFunc(_) = item.ty {
                    instance.func_new(function, |mut store, ty, _, results| {
                        store.data_mut().count_host_call()?;
                        deny(&ty, results)
                    })?;
                }
            }
        }
    }
    Ok(linker)
}

/// Sets each result to `denied`, `unavailable` or `none`: the first that its type allows.
///
/// # Errors
/// If the type allows none of them.
fn deny(function: &ComponentFunc, results: &mut [Val]) -> Result<()> {
    for (result, ty) in results.iter_mut().zip(function.results()) {
        *result = denial(&ty).ok_or(Denied)?;
    }
    Ok(())
}

fn denial(ty: &Type) -> Option<Val> {
    match ty {
        Type::Option(_) => Some(Val::Option(None)),
        Type::Result(result) => {
            let Some(Type::Variant(error)) = result.err() else {
                return None;
            };
            let case = ["denied", "unavailable"].into_iter().find(|wanted| {
                let mut cases = error.cases();
                cases.any(|case| case.name == *wanted && case.ty == Some(Type::String))
            })?;
            let why = Val::String(DENIED.to_owned());
            let error = Val::Variant(case.to_owned(), Some(Box::new(why)));
            Some(Val::Result(Err(Some(Box::new(error)))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::limits::bounds::Bounds;
    use crate::trace::log::{LogBudget, LogSource};
    use alert_manager_core::alert::HandlerName;

    /// A component that passes on what a function of the contract answers, which has this type of error and this result.
    fn passes_on(error: &str, result: &str) -> String {
        format!(
            r#"(component
              (import "alert-manager:handler/new@0.1.0" (instance $new
                (type $e {error})
                (export "error" (type $error (eq $e)))
                (export "f" (func (param "n" u32) (result {result})))))
              (alias export $new "error" (type $error))
              (core module $memory
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
              (core instance $memory (instantiate $memory))
              (core func $f (canon lower (func $new "f")
                (memory $memory "memory") (realloc (func $memory "realloc"))))
              (core module $main
                (import "host" "f" (func $f (param i32 i32)))
                (func (export "g") (result i32) (call $f (i32.const 0) (i32.const 16)) (i32.const 16)))
              (core instance $main (instantiate $main (with "host" (instance (export "f" (func $f))))))
              (func (export "g") (result {result})
                (canon lift (core func $main "g") (memory $memory "memory"))))"#,
        )
    }

    /// Calls `g`. Returns what it returned, or the error with whose failure it is.
    async fn answer(component: &str) -> Result<Vec<Val>, (wasmtime::Error, DescribeFailure)> {
        let sandbox = Sandbox::new(Bounds::default()).unwrap();
        let component = wat::parse_str(component).unwrap();
        let component = Component::new(&sandbox.engine, component).unwrap();
        let linker = denying_linker(&sandbox, &component).unwrap();
        let source = LogSource {
            handler: HandlerName::new("(describe)"),
            about: None,
        };
        let budget = LogBudget::new(&Limits::default(), Arc::default());
        let guest = GuestState::new(
            Arc::new(Recorder::new(source, budget)),
            MemoryMeter::for_describe(Bounds::default()),
            Limits::default(),
            (StepClock::at(Timestamp::UNIX_EPOCH), [0; 32]),
            Advice::Describe,
        );
        let mut store = new_store(&sandbox, guest, CpuMeter::new(), &sandbox.share_of_describe);
        let instance = linker.instantiate_async(&mut store, &component);
        let instance = instance.await.unwrap();
        let g = instance.get_func(&mut store, "g").unwrap();
        let mut results = vec![Val::Bool(false)];
        match g.call_async(&mut store, &[], &mut results).await {
            Ok(()) => Ok(results),
            Err(error) => {
                // As if the code had run while the component was instantiated.
                let failure = failure(&error, store.data(), false);
                Err((error, failure))
            }
        }
    }

    #[tokio::test]
    async fn functions_of_any_type_are_denied() {
        let denied = |case: &str| {
            let why = Val::String(DENIED.to_owned());
            let error = Val::Variant(case.to_owned(), Some(Box::new(why)));
            Val::Result(Err(Some(Box::new(error))))
        };
        let with_denied = "(variant (case \"gone\") (case \"denied\" string))";
        let without = "(variant (case \"unavailable\" string) (case \"gone\" u32))";
        for (error, result, expected) in [
            (without, "(option string)", Some(Val::Option(None))),
            (
                with_denied,
                "(result string (error $error))",
                Some(denied("denied")),
            ),
            (
                without,
                "(result (error $error))",
                Some(denied("unavailable")),
            ),
            (without, "(tuple u32 u32)", None),
        ] {
            match (answer(&passes_on(error, result)).await, expected) {
                (Ok(results), Some(expected)) => assert_eq!(results, [expected], "{result}"),
                (Err((error, failure)), None) => {
                    assert!(format!("{error:#}").contains(DENIED), "{error:#}");
                    match failure {
                        // A failure of the module, which no retry fixes.
                        DescribeFailure::Failed(StepFailure::Trap(why)) => {
                            assert!(why.contains(DENIED), "{why}");
                        }
                        DescribeFailure::Failed(other) => panic!("{other:?}"),
                        DescribeFailure::Mismatch(why) => panic!("mismatch: {why}"),
                    }
                }
                (Ok(answered), _) => panic!("{result}: {answered:?}"),
                (Err((error, _)), _) => panic!("{result}: {error:#}"),
            }
        }
    }
}
