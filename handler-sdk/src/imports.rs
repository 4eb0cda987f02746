//! The host's functions as the SDK calls them: the real imports in a component, the mock's on any other target.
//!
//! In a component each method is one direct call. Trait objects are avoided there because the linker drops only functions
//! that are never referenced: a handler that only posts to Slack imports only Slack, and its operator grants only that.

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{HostFunctions, Imports};

#[cfg(target_family = "wasm")]
pub(crate) use guest::Imports;

/// On other targets the functions are a trait, so that the SDK does not depend on the mock, which depends on the SDK.
#[cfg(not(target_family = "wasm"))]
mod native {
    use std::fmt;

    use crate::bindings::alert_manager::handler::{history, http, kv, log, slack, timer};

    /// The host's functions.
    pub(crate) type Imports = Box<dyn HostFunctions>;

    /// The host's functions, for the mock to implement.
    pub(crate) trait HostFunctions: fmt::Debug {
        fn http_send(&self, request: &http::Request) -> Result<http::Response, http::Error>;

        fn slack_post(&self, message: &slack::Message) -> Result<String, slack::Error>;

        fn slack_update(&self, at: &str, message: &slack::Message) -> Result<String, slack::Error>;

        fn slack_react(&self, at: &str, emoji: &str) -> Result<(), slack::Error>;

        fn slack_upload(&self, file: &slack::File) -> Result<String, slack::Error>;

        fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, kv::Error>;

        fn kv_set(
            &self,
            key: &str,
            value: &[u8],
            ttl_seconds: Option<u32>,
        ) -> Result<(), kv::Error>;

        fn kv_set_if_absent(
            &self,
            key: &str,
            value: &[u8],
            ttl_seconds: Option<u32>,
        ) -> Result<bool, kv::Error>;

        fn kv_increment(
            &self,
            key: &str,
            by: i32,
            ttl_seconds: Option<u32>,
        ) -> Result<i64, kv::Error>;

        fn kv_remove(&self, key: &str) -> Result<(), kv::Error>;

        fn history_earlier(
            &self,
            same: &[String],
            within_seconds: u32,
        ) -> Result<history::Past, history::Error>;

        fn timer_after(
            &self,
            key: &str,
            delay_seconds: u32,
            facts: &[(String, String)],
        ) -> Result<(), timer::Error>;

        fn timer_cancel(&self, key: &str) -> Result<(), timer::Error>;

        fn config_get(&self, key: &str) -> Option<String>;

        fn log_write(&self, level: log::Level, message: &str, fields: &[(String, String)]);

        fn now(&self) -> crate::Timestamp;
    }
}

#[cfg(target_family = "wasm")]
mod guest {
    use crate::bindings::alert_manager::handler::{config, history, http, kv, log, slack, timer};

    /// The host's functions.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Imports;

    impl Imports {
        pub(crate) fn http_send(
            &self,
            request: &http::Request,
        ) -> Result<http::Response, http::Error> {
            http::send(request)
        }

        pub(crate) fn slack_post(&self, message: &slack::Message) -> Result<String, slack::Error> {
            slack::post(message)
        }

        pub(crate) fn slack_update(
            &self,
            at: &str,
            message: &slack::Message,
        ) -> Result<String, slack::Error> {
            slack::update(at, message)
        }

        pub(crate) fn slack_react(&self, at: &str, emoji: &str) -> Result<(), slack::Error> {
            slack::react(at, emoji)
        }

        pub(crate) fn slack_upload(&self, file: &slack::File) -> Result<String, slack::Error> {
            slack::upload(file)
        }

        pub(crate) fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
            kv::get(key)
        }

        pub(crate) fn kv_set(
            &self,
            key: &str,
            value: &[u8],
            ttl_seconds: Option<u32>,
        ) -> Result<(), kv::Error> {
            kv::set(key, value, ttl_seconds)
        }

        pub(crate) fn kv_set_if_absent(
            &self,
            key: &str,
            value: &[u8],
            ttl_seconds: Option<u32>,
        ) -> Result<bool, kv::Error> {
            kv::set_if_absent(key, value, ttl_seconds)
        }

        pub(crate) fn kv_increment(
            &self,
            key: &str,
            by: i32,
            ttl_seconds: Option<u32>,
        ) -> Result<i64, kv::Error> {
            kv::increment(key, by, ttl_seconds)
        }

        pub(crate) fn kv_remove(&self, key: &str) -> Result<(), kv::Error> {
            kv::remove(key)
        }

        pub(crate) fn history_earlier(
            &self,
            same: &[String],
            within_seconds: u32,
        ) -> Result<history::Past, history::Error> {
            history::earlier(same, within_seconds)
        }

        pub(crate) fn timer_after(
            &self,
            key: &str,
            delay_seconds: u32,
            facts: &[(String, String)],
        ) -> Result<(), timer::Error> {
            timer::after(key, delay_seconds, facts)
        }

        pub(crate) fn timer_cancel(&self, key: &str) -> Result<(), timer::Error> {
            timer::cancel(key)
        }

        pub(crate) fn config_get(&self, key: &str) -> Option<String> {
            config::get(key)
        }

        pub(crate) fn log_write(
            &self,
            level: log::Level,
            message: &str,
            fields: &[(String, String)],
        ) {
            log::write(level, message, fields);
        }

        pub(crate) fn now(&self) -> crate::Timestamp {
            std::time::SystemTime::now().into()
        }
    }
}
