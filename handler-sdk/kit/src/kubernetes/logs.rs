//! Reads the end of a container's log.

use handler_sdk::http::encode;

use super::Kubernetes;
use super::object::Pod;
use super::pod::Container;
use crate::log::{self, Log};
use crate::missing::Unread;
use crate::settings::Logs;

/// The lines that are requested: the last twelve are for the message, the rest for its thread.
const LINES: &str = "60";
/// The lines that are requested if sixty exceeded the limit of bytes.
const FEWER_LINES: &str = "5";
const LIMIT_BYTES: usize = 262_144;

impl Kubernetes<'_> {
    /// Reads the end of the log of a container that ended, or, if Kubernetes has it no more or the container has not ended, of
    /// the one that runs. With the setting `logs: off` it is not read, and `None`.
    pub fn log(&self, pod: &Pod, container: &Container) -> Option<Log> {
        if self.look.settings.logs == Logs::Off {
            return None;
        }
        self.look
            .noted("log", "pods/log: get", self.end_of_log(pod, container))
    }

    fn end_of_log(&self, pod: &Pod, container: &Container) -> Result<Log, Unread> {
        // A container that has ended and was not restarted yet is the current one.
        if container.is_exit_present {
            return Ok(self.tail(pod, &container.name, false)?.of_crash());
        }
        match self.tail(pod, &container.name, true) {
            Err(unread) if unread.status == Some(400) => {
                match self.tail(pod, &container.name, false) {
                    // The container has not run yet, or its log was removed.
                    Err(unread) if unread.status == Some(400) => Err(no_log()),
                    result => result,
                }
            }
            result => Ok(result?.of_crash()),
        }
    }

    fn tail(&self, pod: &Pod, container: &str, is_previous: bool) -> Result<Log, Unread> {
        let limit = LIMIT_BYTES.to_string();
        let ask = |lines: &str| {
            let mut query = vec![("container", container)];
            query.extend(is_previous.then_some(("previous", "true")));
            query.extend([("tailLines", lines), ("limitBytes", limit.as_str())]);
            let namespace = pod.namespace();
            let path = format!(
                "/api/v1/namespaces/{}/pods/{}/log",
                encode(namespace.as_deref().unwrap_or_default()),
                encode(pod.name())
            );
            let server = self.look.kubernetes_server();
            Ok::<_, Unread>(self.look.get(server, &path, &query)?.text())
        };
        let mut text = ask(LINES)?;
        // The limit cuts off the newest bytes, which are the relevant ones.
        if text.len() >= LIMIT_BYTES {
            text = ask(FEWER_LINES)?;
        }
        let may_be_quoted = self.look.settings.logs == Logs::Message;
        let is_cut = text.len() >= LIMIT_BYTES;
        log::of_kubelet(&text, is_cut, may_be_quoted).ok_or_else(no_log)
    }
}

fn no_log() -> Unread {
    Unread::because("no log available, the kubelet has it no more")
}
