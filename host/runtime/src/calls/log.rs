//! `log`: lines for the operator. They do not go through the driver: a line is neither counted as a host call nor recorded.
//! Lines past the budget are only counted.

use crate::bindings::log::{Host, Level};
use crate::sandbox::guest::GuestState;

impl Host for GuestState {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.recorder.log.write(level, &message, &fields);
        Ok(())
    }
}
