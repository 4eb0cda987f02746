//! The settings of the API.

use crate::secret::Authorization;

/// `api`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `authorization` or `basic_auth`; absent if anyone who reaches the address may use the API.
    pub authorization: Option<Authorization>,
}
