//! The host's functions as the mock answers them.

use super::host::{Host, Step};
use super::sent::{LogLine, Post, Reaction, Request, Update, checked_blocks};
use crate::Timestamp;
use crate::bindings::alert_manager::handler::{http, kv, log, slack};
use crate::slack::{MessageRef, limits};

/// The host's functions, as one step sees them.
#[derive(Debug, Clone)]
pub(crate) struct Imports {
    pub(super) host: Host,
    pub(super) step: Step,
}

const KEY_BYTES_MAX: u32 = 512;
const VALUE_BYTES_MAX: u32 = 64 * 1024;

impl Imports {
    pub(crate) fn http_send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        let mut state = self.host.state();
        state.requests.push(Request::of(request));
        state.reply_to(request)
    }

    pub(crate) fn slack_post(&self, message: &slack::Message) -> Result<String, slack::Error> {
        self.slack_is_open()?;
        let mut state = self.host.state();
        let blocks = checked_blocks(message, limits::TEXT_CHARS_MAX);
        state.messages += 1;
        let at = MessageRef(format!("mock:{}:{}", message.channel, state.messages));
        state.posts.push(Post {
            at: at.clone(),
            channel: message.channel.clone(),
            text: message.text.clone(),
            blocks,
            thread: message.thread.clone().map(MessageRef),
            key: message.key.clone(),
        });
        Ok(at.0)
    }

    pub(crate) fn slack_update(
        &self,
        at: &str,
        message: &slack::Message,
    ) -> Result<String, slack::Error> {
        self.slack_is_open()?;
        let mut state = self.host.state();
        let mut blocks = checked_blocks(message, limits::UPDATE_TEXT_CHARS_MAX);
        if message.blocks.is_none() {
            // As Slack may do.
            blocks = state.blocks_of(at);
        }
        state.updates.push(Update {
            at: MessageRef(at.to_owned()),
            text: message.text.clone(),
            blocks,
        });
        Ok(at.to_owned())
    }

    pub(crate) fn slack_react(&self, at: &str, emoji: &str) -> Result<(), slack::Error> {
        self.slack_is_open()?;
        self.host.state().reactions.push(Reaction {
            at: MessageRef(at.to_owned()),
            emoji: emoji.to_owned(),
        });
        Ok(())
    }

    /// Takes the next scripted error, after what the real host denies at once.
    fn slack_is_open(&self) -> Result<(), slack::Error> {
        if self.step == Step::Enrich {
            return Err(slack::Error::Denied(
                "Slack is denied during `enrich`".to_owned(),
            ));
        }
        let mut state = self.host.state();
        if let Some(grant) = &state.slack_denied {
            return Err(slack::Error::Denied(grant.clone()));
        }
        match state.slack_errors.pop_front().flatten() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(crate) fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
        self.kv_is_open(key, 0)?;
        Ok(self.host.state().kv_live(key))
    }

    pub(crate) fn kv_set(
        &self,
        key: &str,
        value: &[u8],
        ttl_seconds: Option<u32>,
    ) -> Result<(), kv::Error> {
        self.kv_is_open(key, value.len())?;
        self.host.state().kv_put(key, value, ttl_seconds);
        Ok(())
    }

    pub(crate) fn kv_set_if_absent(
        &self,
        key: &str,
        value: &[u8],
        ttl_seconds: Option<u32>,
    ) -> Result<bool, kv::Error> {
        self.kv_is_open(key, value.len())?;
        let mut state = self.host.state();
        let absent = state.kv_live(key).is_none();
        if absent {
            state.kv_put(key, value, ttl_seconds);
        }
        Ok(absent)
    }

    pub(crate) fn kv_increment(
        &self,
        key: &str,
        by: i32,
        ttl_seconds: Option<u32>,
    ) -> Result<i64, kv::Error> {
        self.kv_is_open(key, 0)?;
        let mut state = self.host.state();
        let known = state
            .kv_live(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let number = match known.as_deref().map(str::parse::<i64>) {
            None => 0,
            Some(Ok(number)) => number,
            Some(Err(_)) => return Err(kv::Error::Unavailable(format!("`{key}` holds no number"))),
        };
        let sum = number.saturating_add(by.into());
        state.kv_put(key, sum.to_string().as_bytes(), ttl_seconds);
        Ok(sum)
    }

    pub(crate) fn kv_remove(&self, key: &str) -> Result<(), kv::Error> {
        self.kv_is_open(key, 0)?;
        self.host.state().kv.remove(key);
        Ok(())
    }

    fn kv_is_open(&self, key: &str, value_bytes: usize) -> Result<(), kv::Error> {
        if let Some(error) = self.host.state().kv_errors.pop_front() {
            return Err(error);
        }
        if key.len() > KEY_BYTES_MAX as usize {
            return Err(kv::Error::TooLarge(KEY_BYTES_MAX));
        }
        if value_bytes > VALUE_BYTES_MAX as usize {
            return Err(kv::Error::TooLarge(VALUE_BYTES_MAX));
        }
        Ok(())
    }

    pub(crate) fn config_get(&self, key: &str) -> Option<String> {
        self.host.state().config.get(key).cloned()
    }

    pub(crate) fn log_write(&self, level: log::Level, message: &str, fields: &[(String, String)]) {
        self.host.state().logs.push(LogLine {
            level,
            message: message.to_owned(),
            fields: fields.to_vec(),
        });
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.host.state().now
    }
}
