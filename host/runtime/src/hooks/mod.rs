//! The hooks that a handler exports: finds them when a module is loaded, calls them, and checks what they return.

mod block;
pub(crate) mod describe;
pub(crate) mod failure;
pub(crate) mod given;
pub(crate) mod returned;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, TypedFunc};
use wasmtime::{Result, Store};

use crate::bindings::{CONTRACT_PACKAGE, hooks, types};
use crate::calls::HookState;
use given::{Arguments, Given};

type Enrich = (std::result::Result<types::Enrichment, types::Failure>,);
type Act = (std::result::Result<types::Labels, types::Failure>,);
type Describe = (hooks::Description,);

/// The indexes of a component's hooks. The bindings that wasmtime generates would look up and check every hook in every
/// instance, although an invocation calls only one.
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    describe: ComponentExportIndex,
    enrich: ComponentExportIndex,
    act: ComponentExportIndex,
}

impl Exports {
    /// Finds the hooks of this version; `None` if one is missing.
    pub(crate) fn find(component: &Component, version: &str) -> Option<Self> {
        let interface = format!("{CONTRACT_PACKAGE}/hooks@{version}");
        let instance = component.get_export_index(None, interface.as_str())?;
        let hook = |name: &str| component.get_export_index(Some(&instance), name);
        Some(Self {
            describe: hook("describe")?,
            enrich: hook("enrich")?,
            act: hook("act")?,
        })
    }

    /// Checks the type of every hook against the contract.
    ///
    /// # Errors
    /// If one has another type.
    fn check<T: 'static>(&self, store: &mut Store<T>, instance: &Instance) -> Result<()> {
        let _: TypedFunc<(), Describe> = instance.get_typed_func(&mut *store, self.describe)?;
        let _: TypedFunc<Arguments<'_>, Enrich> =
            instance.get_typed_func(&mut *store, self.enrich)?;
        let _: TypedFunc<Arguments<'_>, Act> = instance.get_typed_func(&mut *store, self.act)?;
        Ok(())
    }
}

/// A component whose imports are linked, and its hooks.
pub(crate) struct Hooks {
    pre: InstancePre<HookState>,
    exports: Exports,
}

impl Hooks {
    pub(crate) fn new(pre: InstancePre<HookState>, exports: Exports) -> Self {
        Self { pre, exports }
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// If its code fails while it starts, or a limit is met.
    pub(crate) async fn instantiate(&self, store: &mut Store<HookState>) -> Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    /// Calls `enrich`.
    ///
    /// # Errors
    /// If the guest does not return.
    pub(crate) async fn enrich(
        &self,
        store: &mut Store<HookState>,
        instance: &Instance,
        given: &Given<'_>,
    ) -> Result<std::result::Result<types::Enrichment, types::Failure>> {
        let enrich: TypedFunc<Arguments<'_>, Enrich> =
            instance.get_typed_func(&mut *store, self.exports.enrich)?;
        let (alert, found) = (given.alert(), given.found());
        let arguments = (given.call, &alert, &found);
        Ok(enrich.call_async(store, arguments).await?.0)
    }

    /// Calls `act`.
    ///
    /// # Errors
    /// If the guest does not return.
    pub(crate) async fn act(
        &self,
        store: &mut Store<HookState>,
        instance: &Instance,
        given: &Given<'_>,
    ) -> Result<std::result::Result<types::Labels, types::Failure>> {
        let act: TypedFunc<Arguments<'_>, Act> =
            instance.get_typed_func(&mut *store, self.exports.act)?;
        let (alert, found) = (given.alert(), given.found());
        let arguments = (given.call, &alert, &found);
        Ok(act.call_async(store, arguments).await?.0)
    }
}
