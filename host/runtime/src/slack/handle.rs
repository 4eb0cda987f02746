//! Slack as one invocation uses it.

use std::sync::Arc;

use super::api::SlackApi;
use super::holds::Holds;
use super::message_ref::RefKey;
use super::settings::Settings;

/// Is shown each message that is previewed instead of posted: readable lines, free of control characters.
pub type PreviewSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Slack as one invocation uses it: a client under one set of settings, and what outlives them.
pub(crate) struct Slack {
    pub(crate) api: SlackApi,
    pub(crate) holds: Arc<Holds>,
    pub(crate) ref_key: RefKey,
    pub(crate) preview: PreviewSink,
}

impl Slack {
    pub(crate) fn settings(&self) -> &Settings {
        &self.api.settings
    }
}
