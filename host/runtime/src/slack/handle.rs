//! Slack, as the host calls of one invocation use it.

use std::sync::Arc;

use super::api::SlackApi;
use super::breaker::SlackBreaker;
use super::message_ref::RefKey;
use super::settings::Settings;

/// Called with each message that is shown instead of posted: readable lines without control characters.
pub type PreviewSink = Arc<dyn Fn(&str) + Send + Sync>;

/// The client with its settings, and the state that survives a reload.
pub(crate) struct Slack {
    pub(crate) api: SlackApi,
    pub(crate) breaker: Arc<SlackBreaker>,
    pub(crate) ref_key: RefKey,
    pub(crate) preview: PreviewSink,
}

impl Slack {
    pub(crate) fn settings(&self) -> &Settings {
        &self.api.settings
    }
}
