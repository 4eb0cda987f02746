//! References to posted messages: opaque to handlers, and signed so that they cannot be forged.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use alert_manager_core::alert::HandlerName;

/// Longer references are refused without decoding them.
const REF_BYTES_MAX: usize = 1_024;
/// The signature is the first half of an HMAC-SHA256.
const TAG_BYTES: usize = 16;

/// A message that a handler posted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PostedMessage {
    /// The channel's name in the grants.
    pub(crate) channel: String,
    /// Slack's ID of the channel.
    pub(crate) channel_id: String,
    /// Slack's timestamp, which identifies the message within the channel.
    pub(crate) ts: String,
}

/// Signs references and reads them back.
#[derive(Clone)]
pub(crate) struct RefKey([u8; 32]);

impl fmt::Debug for RefKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefKey(not shown)")
    }
}

impl RefKey {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Returns a reference that only `handler` can use.
    pub(crate) fn seal(&self, handler: &HandlerName, message: &PostedMessage) -> String {
        let PostedMessage {
            channel,
            channel_id,
            ts,
        } = message;
        // The lengths separate the channel's name from the id.
        let text = format!(
            "{}:{channel}{}:{channel_id}{ts}",
            channel.len(),
            channel_id.len()
        );
        let tag = self.mac(handler, &text).finalize().into_bytes();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(&tag[..TAG_BYTES])
        )
    }

    /// Reads a reference; `None` unless it was sealed with this key for this handler.
    pub(crate) fn open(&self, handler: &HandlerName, sealed: &str) -> Option<PostedMessage> {
        if sealed.len() > REF_BYTES_MAX {
            return None;
        }
        let (text, tag) = sealed.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        if tag.len() != TAG_BYTES {
            return None;
        }
        self.mac(handler, &text).verify_truncated_left(&tag).ok()?;
        let (channel, rest) = take_counted(&text)?;
        let (channel_id, ts) = take_counted(rest)?;
        Some(PostedMessage {
            channel: channel.to_owned(),
            channel_id: channel_id.to_owned(),
            ts: ts.to_owned(),
        })
    }

    fn mac(&self, handler: &HandlerName, text: &str) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("any key will do");
        mac.update(handler.as_str().as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        mac
    }
}

fn take_counted(text: &str) -> Option<(&str, &str)> {
    let (count, rest) = text.split_once(':')?;
    rest.split_at_checked(count.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn message() -> PostedMessage {
        PostedMessage {
            channel: "alerts: of 3:all".to_owned(),
            channel_id: "C0123456".to_owned(),
            ts: "1700000000.000100".to_owned(),
        }
    }

    #[test]
    fn a_reference_is_read_back_by_the_handler_that_got_it() {
        let key = RefKey::new([7; 32]);
        let handler = HandlerName::new("a");
        let sealed = key.seal(&handler, &message());
        assert_eq!(key.open(&handler, &sealed).unwrap(), message());
    }

    #[test]
    fn a_reference_of_another_handler_or_key_or_a_forged_one_is_refused() {
        let key = RefKey::new([7; 32]);
        let handler = HandlerName::new("a");
        let sealed = key.seal(&handler, &message());
        assert_eq!(key.open(&HandlerName::new("b"), &sealed), None);
        assert_eq!(RefKey::new([8; 32]).open(&handler, &sealed), None);
        let other = PostedMessage {
            channel: "oncall".to_owned(),
            ..message()
        };
        let (_, tag) = sealed.split_once('.').unwrap();
        let elsewhere = key.seal(&handler, &other);
        let text = elsewhere.split_once('.').unwrap().0.to_owned();
        for forged in [
            format!("{text}.{tag}"),
            format!("{text}."),
            text,
            String::new(),
        ] {
            assert_eq!(key.open(&handler, &forged), None, "{forged}");
        }
        assert_eq!(key.open(&handler, &"a.".repeat(REF_BYTES_MAX)), None);
    }
}
