//! `config`: the operator's settings for this handler.

use crate::bindings::config::Host;
use crate::sandbox::state::State;
use alert_manager_core::journal::CallKind;

use super::{Done, Plan, name_of};

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_any()?;
        let Some(powers) = &mut self.powers else {
            return Ok(None);
        };
        let value = powers.config.get(&key).cloned();
        powers.count_in(value.as_ref().map_or(0, String::len));
        let name = name_of(None, &[b"config", key.as_bytes()]);
        let plan = Plan::new(CallKind::Config, name, key, false);
        if let Some(recorded) = self.recorded(&plan)? {
            return Ok(recorded);
        }
        let result = if value.is_some() { "set" } else { "not set" };
        self.finish(plan, Done::live(value, result)).await
    }
}
