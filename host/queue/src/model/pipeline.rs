//! A pipeline as one text, for the store and for classes of deaths.

use alert_manager_core::alert::HandlerName;

/// Returns a pipeline as a text with a comma before and after each name, so that a name can be searched for.
pub(crate) fn join_handlers(pipeline: &[HandlerName]) -> String {
    let mut text = String::with_capacity(24 * pipeline.len() + 1);
    text.push(',');
    for handler in pipeline {
        text.push_str(handler.as_str());
        text.push(',');
    }
    text
}

/// Parses what [`join_handlers`] returned.
pub(crate) fn split_handlers(text: &str) -> Vec<HandlerName> {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(HandlerName::new)
        .collect()
}
