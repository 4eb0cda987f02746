//! The host interfaces that a handler may import. [`driver`] makes the calls of all of them in the same order. An interface
//! is one file with what is specific to its calls, one line in [`interfaces`] and one line in [`linker`].

mod bytes;
mod config;
pub(crate) mod context;
mod driver;
pub(crate) mod held_back;
mod history;
pub(crate) mod http;
pub(crate) mod interfaces;
mod kv;
mod log;
mod naming;
mod record;
pub(crate) mod setting_reads;
mod slack;
#[cfg(test)]
mod tests;
mod timer;

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::bindings;
use crate::calls::context::HostContext;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::guest::{GuestState, HasGuest};

/// Makes the linker of `enrich` and `act`, with WASI and every interface.
///
/// # Errors
/// If two of them have the same name.
pub(crate) fn linker(sandbox: &Sandbox) -> wasmtime::Result<Linker<HookState>> {
    let mut linker = sandbox.wasi_linker()?;
    bindings::types::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::log::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, HookState::guest)?;
    bindings::config::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::http::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::slack::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::kv::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::history::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    bindings::timer::add_to_linker::<_, HasSelf<HookState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// The data of a store of `enrich` or `act`.
pub(crate) struct HookState {
    pub(crate) guest: GuestState,
    pub(crate) host: HostContext,
}

/// The interface `types` has no function.
impl bindings::types::Host for HookState {}

impl HasGuest for HookState {
    fn guest(&mut self) -> &mut GuestState {
        &mut self.guest
    }

    fn guest_ref(&self) -> &GuestState {
        &self.guest
    }
}

impl WasiView for HookState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.guest.ctx()
    }
}
