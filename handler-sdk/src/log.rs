//! Log lines for the operator.

use std::fmt::Display;

use crate::imports::Imports;

pub use crate::bindings::alert_manager::handler::log::Level;

/// The log that the operator reads. The host adds the handler, the delivery and the alertname to each line.
///
/// Writing never fails and never blocks; lines over the host's limit are dropped and counted.
///
/// ```
/// # use handler_sdk::prelude::*;
/// # fn act(cx: &Cx) {
/// cx.log().info("asked the API server", &[("pods", &3), ("namespace", &"customer")]);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Log<'a> {
    imports: &'a Imports,
}

impl<'a> Log<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Writes a line of detail for the handler's author.
    pub fn trace(&self, message: &str, fields: &[(&str, &dyn Display)]) {
        self.write(Level::Trace, message, fields);
    }

    /// Writes a line that helps to find a mistake.
    pub fn debug(&self, message: &str, fields: &[(&str, &dyn Display)]) {
        self.write(Level::Debug, message, fields);
    }

    /// Writes a line about normal operation.
    pub fn info(&self, message: &str, fields: &[(&str, &dyn Display)]) {
        self.write(Level::Info, message, fields);
    }

    /// Writes a line about a problem that someone should look at eventually.
    pub fn warn(&self, message: &str, fields: &[(&str, &dyn Display)]) {
        self.write(Level::Warn, message, fields);
    }

    /// Writes a line about a problem that someone should look at now.
    pub fn error(&self, message: &str, fields: &[(&str, &dyn Display)]) {
        self.write(Level::Error, message, fields);
    }

    fn write(&self, level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
        let fields: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .collect();
        self.imports.log_write(level, message, &fields);
    }
}
