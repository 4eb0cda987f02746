//! `timer`: calls a handler's `act` again later.

use crate::bindings::timer::{Error, Host};
use crate::bindings::types::Labels;
use crate::calls::HookState;

impl Host for HookState {
    async fn after(
        &mut self,
        _key: String,
        _delay_seconds: u32,
        _facts: Labels,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(Error::Unavailable("not set yet".to_owned())))
    }

    async fn cancel(&mut self, _key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(Err(Error::Unavailable("not set yet".to_owned())))
    }
}
