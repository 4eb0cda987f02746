//! `log`: lines for the operator.

use crate::bindings::log::{Host, Level};
use crate::sandbox::state::State;

impl Host for State {
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
        // Not counted among the host calls: past its own budget it costs a counter and no more.
        self.recorder.log(level, &message, &fields);
        Ok(())
    }
}
