//! The handler's key-value store, kept between alerts.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::imports::Imports;
use crate::{Failure, time};

pub use crate::bindings::alert_manager::handler::kv::Error;

/// This handler's keys and values. Other handlers have no access to them.
///
/// ```
/// # use handler_sdk::prelude::*;
/// use handler_sdk::time::DAY;
///
/// # fn act(cx: &Cx, alert: &Alert) -> Result<(), Failure> {
/// let seen = cx.kv().increment(&alert.fingerprint, 1, Some(DAY))?;
/// if seen > 3 {
///     cx.log().warn("seen again and again", &[("times", &seen)]);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Kv<'a> {
    imports: &'a Imports,
}

impl<'a> Kv<'a> {
    pub(crate) const fn new(imports: &'a Imports) -> Self {
        Self { imports }
    }

    /// Returns the value; `None` if it was never set, was removed or has expired.
    ///
    /// # Errors
    /// Returns an error if the store fails, or a limit of the step is used up.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.imports.kv_get(key)
    }

    /// Returns the value as text; bytes that are not UTF-8 are replaced by U+FFFD.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn get_string(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self
            .get(key)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns the value that [`set_json`](Self::set_json) wrote.
    ///
    /// # Errors
    /// See [`get`](Self::get). Returns a permanent failure if the value cannot be read as a `T`.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.get(key)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::permanent(format!("the kept value `{key}` can't be read: {error}"))
        })
    }

    /// Sets the value, which expires after `time_to_live`, rounded up to whole seconds; `None` means never.
    ///
    /// # Errors
    /// Returns an error if the key or value is too large, the quota is used up, or the store fails.
    pub fn set(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        time_to_live: Option<Duration>,
    ) -> Result<(), Error> {
        self.imports
            .kv_set(key, value.as_ref(), whole_seconds(time_to_live))
    }

    /// Sets the value as JSON.
    ///
    /// # Errors
    /// See [`set`](Self::set). Returns a permanent failure if the value cannot be written as JSON.
    pub fn set_json(
        &self,
        key: &str,
        value: &impl Serialize,
        time_to_live: Option<Duration>,
    ) -> Result<(), Failure> {
        Ok(self.set(key, serde_json::to_vec(value)?, time_to_live)?)
    }

    /// Sets the value if the key is absent; returns whether it did.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn set_if_absent(
        &self,
        key: &str,
        value: impl AsRef<[u8]>,
        time_to_live: Option<Duration>,
    ) -> Result<bool, Error> {
        self.imports
            .kv_set_if_absent(key, value.as_ref(), whole_seconds(time_to_live))
    }

    /// Adds to a number and returns the sum; an absent key counts as 0. The sum saturates at the bounds of `i64`.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn increment(
        &self,
        key: &str,
        by: i32,
        time_to_live: Option<Duration>,
    ) -> Result<i64, Error> {
        self.imports
            .kv_increment(key, by, whole_seconds(time_to_live))
    }

    /// Removes the value. Removing an absent key is not an error.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn remove(&self, key: &str) -> Result<(), Error> {
        self.imports.kv_remove(key)
    }
}

fn whole_seconds(time_to_live: Option<Duration>) -> Option<u32> {
    time_to_live.map(|length| time::whole_seconds(length).max(1))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(why) => Self::unavailable(format!("kv: {why}")),
            Error::TooLarge(bytes_max) => Self::permanent(format!(
                "kv: the key or value is over its limit of {bytes_max} bytes"
            )),
            Error::QuotaExceeded => Self::permanent(
                "kv: this handler's keys and values are over their limit in all; give them a time to live, or remove some",
            ),
            Error::BudgetExhausted(limit) => {
                Self::permanent(format!("kv: the step's limit is used up: {limit}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Timestamp;
    use crate::mock::Host;
    use crate::time::{DAY, MINUTE};

    #[test]
    fn a_time_to_live_is_rounded_up() {
        assert_eq!(whole_seconds(None), None);
        assert_eq!(whole_seconds(Some(Duration::ZERO)), Some(1));
        assert_eq!(whole_seconds(Some(Duration::from_millis(1_001))), Some(2));
        assert_eq!(whole_seconds(Some(Duration::MAX)), Some(u32::MAX));
    }

    #[test]
    fn values_are_kept_as_long_as_was_asked() {
        let start = Timestamp::from_seconds(1_000);
        let host = Host::new().now(start);
        let cx = host.cx();
        cx.kv().set("a", "1", Some(MINUTE)).unwrap();
        cx.kv().set("b", "2", None).unwrap();
        assert!(!cx.kv().set_if_absent("a", "3", None).unwrap());

        let host = host.now(start.plus(DAY));
        assert_eq!(host.cx().kv().get("a").unwrap(), None);
        assert!(cx.kv().set_if_absent("a", "3", None).unwrap());
        assert_eq!(cx.kv().get_string("a").unwrap().as_deref(), Some("3"));
        assert_eq!(host.kept("b").as_deref(), Some("2"));
        cx.kv().remove("b").unwrap();
        assert_eq!(host.kept_keys(), ["a"]);
    }

    #[test]
    fn numbers_are_added_up() {
        let cx = Host::new().cx();
        assert_eq!(cx.kv().increment("n", 5, None).unwrap(), 5);
        assert_eq!(cx.kv().increment("n", -7, None).unwrap(), -2);
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let cx = Host::new().kv("broken", "{").cx();
        cx.kv().set_json("list", &["a", "b"], None).unwrap();
        assert_eq!(
            cx.kv().get_json::<Vec<String>>("list").unwrap().unwrap(),
            ["a", "b"]
        );
        assert_eq!(cx.kv().get_json::<Vec<String>>("none").unwrap(), None);
        let failure = cx.kv().get_json::<Vec<String>>("broken").unwrap_err();
        assert!(
            failure
                .message()
                .starts_with("the kept value `broken` can't be read"),
            "{failure}"
        );
    }

    #[test]
    fn errors_become_the_failure_that_fits() {
        let host = Host::new().kv_error(Error::Unavailable("disk full".to_owned()));
        let failure = Failure::from(host.cx().kv().get("a").unwrap_err());
        assert_eq!(failure, Failure::unavailable("kv: disk full"));
        let long = "k".repeat(10_000);
        assert!(Failure::from(host.cx().kv().get(&long).unwrap_err()).is_permanent());
        assert!(Failure::from(Error::QuotaExceeded).is_permanent());
    }
}
