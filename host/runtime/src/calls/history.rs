//! `history`: what this server knows about earlier alerts.

use crate::bindings::history::{Error, Host, Past};
use crate::calls::HookState;

impl Host for HookState {
    async fn earlier(
        &mut self,
        _same: Vec<String>,
        _within_seconds: u32,
    ) -> wasmtime::Result<Result<Past, Error>> {
        Ok(Err(Error::Unavailable("not kept yet".to_owned())))
    }
}
