//! `config`: the operator's settings for this handler.

use crate::bindings::config::Host;
use crate::calls::HookState;
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, HostCall, Refused};
use crate::calls::naming::{Plan, name_of};
use crate::sandbox::stop::Stop;
use alert_manager_core::journal::{CallKind, CallName};

impl Host for HookState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.call(ConfigGet { key }).await?)
    }
}

pub(super) struct ConfigGet {
    pub(super) key: String,
}

impl HostCall for ConfigGet {
    const KIND: CallKind = CallKind::Config;
    type Reply = Option<String>;
    type Error = Refused;
    type Prepared = String;

    fn name(&self) -> CallName {
        name_of(None, &[b"config", self.key.as_bytes()])
    }

    fn line(&self) -> String {
        self.key.clone()
    }

    fn changes(&self) -> bool {
        false
    }

    fn bytes_out(&self) -> usize {
        0
    }

    fn bytes_in(reply: &Self::Reply) -> usize {
        reply.as_ref().map_or(0, String::len)
    }

    fn is_ok(_: &Self::Reply) -> bool {
        true
    }

    /// The contract has no error for `config.get`: a refused call answers that the setting is absent.
    fn failed(_: Refused) -> Done<Self::Reply> {
        Done::refused(None, "not set")
    }

    fn check(self, _: &HostContext) -> Result<String, Refused> {
        Ok(self.key)
    }

    async fn hold_back(
        key: String,
        plan: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        Self::live(key, plan, host).await
    }

    async fn live(
        key: String,
        _: &Plan,
        host: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        host.setting_reads.note(&host.handler, &key);
        let value = host.config.get(&key).cloned();
        let line = match &value {
            Some(_) => "set",
            None if host.setting_reads.is_undeclared(&key) => "not declared",
            None => "not set",
        };
        Ok(Done::live(value, line))
    }
}
