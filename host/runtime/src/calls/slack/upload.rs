//! `slack.upload`, which this server does not have yet: each call answers `unavailable`.

use std::convert::Infallible;

use crate::bindings::slack::{Error, File};
use crate::calls::context::HostContext;
use crate::calls::driver::{Done, HostCall};
use crate::calls::naming::{Plan, check_key, name_of};
use crate::sandbox::stop::Stop;
use alert_manager_core::journal::{CallKind, CallName};

use super::{SlackCall, check_step};

/// Why a file is not uploaded.
const MISSING: &str =
    "this server cannot upload files to Slack yet: post the message without the picture";

/// `slack.upload`.
pub(in crate::calls) struct SlackUpload(pub(in crate::calls) File);

impl HostCall for SlackUpload {
    const KIND: CallKind = CallKind::Slack;
    /// The file's reference.
    type Reply = Result<String, Error>;
    type Error = Error;
    type Prepared = Infallible;

    fn name(&self) -> CallName {
        let File {
            name,
            title,
            media_type,
            data,
            key,
        } = &self.0;
        let texts = [name, title, media_type].map(String::as_bytes);
        let [name, title, media_type] = texts;
        name_of(key.as_deref(), &[b"upload", name, title, media_type, data])
    }

    fn line(&self) -> String {
        format!("upload {}", self.0.name)
    }

    fn changes(&self) -> bool {
        true
    }

    fn bytes_out(&self) -> usize {
        self.0.data.len()
    }

    fn is_ok(reply: &Self::Reply) -> bool {
        reply.is_ok()
    }

    fn failed(error: Error) -> Done<Self::Reply> {
        SlackCall::failed(error)
    }

    fn check(self, host: &HostContext) -> Result<Infallible, Error> {
        check_step(host)?;
        check_key(self.0.key.as_deref()).map_err(Error::Invalid)?;
        Err(Error::Unavailable(MISSING.to_owned()))
    }

    async fn hold_back(
        never: Infallible,
        _: &Plan,
        _: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        match never {}
    }

    async fn live(
        never: Infallible,
        _: &Plan,
        _: &mut HostContext,
    ) -> Result<Done<Self::Reply>, Stop> {
        match never {}
    }
}
