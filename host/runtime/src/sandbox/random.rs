//! `wasi:random` with a limit on the bytes that one invocation may draw.

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::random::{insecure, random};

use crate::sandbox::guest::{GuestState, HasGuest};

/// Replaces the interfaces of `wasi:random` in the linker by the limited ones.
pub(crate) fn add_to_linker<T: HasGuest>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    random::add_to_linker::<T, HasSelf<GuestState>>(linker, T::guest)?;
    insecure::add_to_linker::<T, HasSelf<GuestState>>(linker, T::guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl random::Host for GuestState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.count_random(len)?;
        self.wasi().random().get_random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.count_random(8)?;
        self.wasi().random().get_random_u64()
    }
}

impl insecure::Host for GuestState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.count_random(len)?;
        self.wasi().random().get_insecure_random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.count_random(8)?;
        self.wasi().random().get_insecure_random_u64()
    }
}
