//! The exports of one handler: found once when it is loaded, and called with what the server already holds.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Lower, TypedFunc,
};
use wasmtime::{Result, Store};

use crate::bindings::{CONTRACT_PACKAGE, CONTRACT_VERSION, hooks, types};
use crate::sandbox::convert;
use crate::sandbox::state::State;
use alert_manager_core::alert::{Alert, Enrichment, Labels};

type Enrich = (std::result::Result<types::Enrichment, types::Failure>,);
type Act = (std::result::Result<types::Labels, types::Failure>,);
type Describe = (hooks::Description,);
type Arguments<'a> = (&'a hooks::Call, &'a AlertGiven<'a>, &'a Known<'a>);

/// What a handler exports. The glue that wasmtime generates looks up and checks every hook in every
/// instance; a call needs one of them.
pub(crate) struct Hooks {
    pre: InstancePre<State>,
    describe: ComponentExportIndex,
    enrich: ComponentExportIndex,
    act: ComponentExportIndex,
}

/// Pairs as the server holds them: lent to the guest's memory, not copied on the way.
type Lent<'a> = Vec<(&'a str, &'a str)>;

/// The contract's `alert`, field by field.
#[derive(ComponentType, Lower)]
#[component(record)]
struct AlertGiven<'a> {
    fingerprint: &'a str,
    name: &'a str,
    status: types::Status,
    labels: Lent<'a>,
    annotations: Lent<'a>,
    #[component(name = "starts-at")]
    starts_at: types::Timestamp,
    #[component(name = "ends-at")]
    ends_at: Option<types::Timestamp>,
    #[component(name = "generator-url")]
    generator_url: Option<&'a str>,
    #[component(name = "received-at")]
    received_at: types::Timestamp,
    origin: OriginGiven<'a>,
}

/// The contract's `origin`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct OriginGiven<'a> {
    sender: &'a str,
    receiver: Option<&'a str>,
    #[component(name = "group-key")]
    group_key: Option<&'a str>,
    #[component(name = "group-labels")]
    group_labels: Lent<'a>,
    #[component(name = "external-url")]
    external_url: Option<&'a str>,
    extra: Lent<'a>,
}

/// The contract's `enrichment`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Known<'a> {
    facts: Lent<'a>,
    blocks: &'a [types::Block],
}

impl Hooks {
    /// Finds the hooks; absent where one is missing.
    pub(crate) fn find(pre: InstancePre<State>) -> Option<Self> {
        let component: &Component = pre.component();
        let interface = format!("{CONTRACT_PACKAGE}/hooks@{CONTRACT_VERSION}");
        let instance = component.get_export_index(None, interface.as_str())?;
        let hook = |name: &str| component.get_export_index(Some(&instance), name);
        Some(Self {
            describe: hook("describe")?,
            enrich: hook("enrich")?,
            act: hook("act")?,
            pre,
        })
    }

    /// Makes an instance.
    pub(crate) async fn instantiate(&self, store: &mut Store<State>) -> Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    /// Checks every hook's type against the contract.
    ///
    /// # Errors
    /// Where one is of another type.
    pub(crate) fn check(&self, store: &mut Store<State>, instance: &Instance) -> Result<()> {
        let _: TypedFunc<(), Describe> = instance.get_typed_func(&mut *store, self.describe)?;
        let _: TypedFunc<Arguments<'_>, Enrich> =
            instance.get_typed_func(&mut *store, self.enrich)?;
        let _: TypedFunc<Arguments<'_>, Act> = instance.get_typed_func(&mut *store, self.act)?;
        Ok(())
    }

    /// Calls `describe`.
    pub(crate) async fn describe(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> Result<hooks::Description> {
        let describe: TypedFunc<(), Describe> =
            instance.get_typed_func(&mut *store, self.describe)?;
        Ok(describe.call_async(store, ()).await?.0)
    }

    /// Calls `enrich`.
    pub(crate) async fn enrich(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        given: &Given<'_>,
    ) -> Result<std::result::Result<types::Enrichment, types::Failure>> {
        let enrich: TypedFunc<Arguments<'_>, Enrich> =
            instance.get_typed_func(&mut *store, self.enrich)?;
        let (alert, known) = (given.alert(), given.known());
        let arguments = (given.call, &alert, &known);
        Ok(enrich.call_async(store, arguments).await?.0)
    }

    /// Calls `act`.
    pub(crate) async fn act(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
        given: &Given<'_>,
    ) -> Result<std::result::Result<types::Labels, types::Failure>> {
        let act: TypedFunc<Arguments<'_>, Act> = instance.get_typed_func(&mut *store, self.act)?;
        let (alert, known) = (given.alert(), given.known());
        let arguments = (given.call, &alert, &known);
        Ok(act.call_async(store, arguments).await?.0)
    }
}

/// What a hook is called with.
pub(crate) struct Given<'a> {
    call: &'a hooks::Call,
    alert: &'a Alert,
    fingerprint: String,
    facts: &'a Labels,
    blocks: Vec<types::Block>,
}

impl<'a> Given<'a> {
    pub(crate) fn new(call: &'a hooks::Call, alert: &'a Alert, found: &'a Enrichment) -> Self {
        Self {
            call,
            alert,
            fingerprint: alert.fingerprint.to_string(),
            facts: &found.facts,
            blocks: found.blocks.iter().map(convert::block).collect(),
        }
    }

    fn alert(&self) -> AlertGiven<'_> {
        let Alert {
            labels,
            annotations,
            origin,
            ..
        } = self.alert;
        AlertGiven {
            fingerprint: &self.fingerprint,
            name: self.alert.name(),
            status: convert::status(self.alert.status),
            labels: labels.iter().collect(),
            annotations: annotations.iter().collect(),
            starts_at: convert::timestamp(self.alert.starts_at),
            ends_at: self.alert.ends_at.map(convert::timestamp),
            generator_url: self.alert.generator_url.as_deref(),
            received_at: convert::timestamp(self.alert.received_at),
            origin: OriginGiven {
                sender: &origin.sender,
                receiver: origin.receiver.as_deref(),
                group_key: origin.group_key.as_deref(),
                group_labels: origin.group_labels.iter().collect(),
                external_url: origin.external_url.as_deref(),
                extra: origin.extra.iter().collect(),
            },
        }
    }

    fn known(&self) -> Known<'_> {
        Known {
            facts: self.facts.iter().collect(),
            blocks: &self.blocks,
        }
    }
}
