//! `log`: lines for the operator. No host call in the driver's sense: a line is neither counted among them nor recorded, and
//! past its own budget it costs a counter and no more.

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
