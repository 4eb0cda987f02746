//! A pipeline as one text: as it is stored, and as a class of deaths has it.

use alert_manager_core::alert::HandlerName;

/// Returns a pipeline as a text: each name between commas, so that one of them can be looked for.
pub(crate) fn join_handlers(pipeline: &[HandlerName]) -> String {
    let mut text = String::with_capacity(24 * pipeline.len() + 1);
    text.push(',');
    for handler in pipeline {
        text.push_str(handler.as_str());
        text.push(',');
    }
    text
}

/// The opposite of [`join_handlers`].
pub(crate) fn split_handlers(text: &str) -> Vec<HandlerName> {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(HandlerName::new)
        .collect()
}
