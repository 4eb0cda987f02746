//! A read-only client for the Kubernetes API that gives short reasons for failures.

use std::time::Duration;

use handler_sdk::http::{Error, ErrorKind, encode};
use handler_sdk::prelude::*;
use handler_sdk::serde_json::{self, Value};

/// The requests of one enrichment at most, counting the pod's own twice. Each gets an equal share of the step's time,
/// because the clock does not advance within a step, so a handler cannot find out how much time is left.
const SHARES: u32 = 14;
/// The pages of a list that are read; the message says if there are more.
const PAGES_MAX: usize = 3;
/// The objects of a page. A Deployment keeps ten `ReplicaSets` by default, and repeated events are one object.
const PAGE_ITEMS: &str = "100";
const TIMEOUT_MIN: Duration = Duration::from_millis(250);
const TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// An API server, and the credential that the host adds for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    url: String,
    credential: Option<String>,
}

impl Server {
    pub(crate) fn new(url: &str, credential: Option<String>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            credential,
        }
    }
}

/// The error for an object that could not be read.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    /// A short reason for the message: `forbidden (403)`.
    pub(crate) why: String,
    pub(crate) status: Option<u16>,
    /// True if further requests would fail too.
    pub(crate) ends_all: bool,
    /// The failure that the step would return.
    pub(crate) failure: Failure,
}

impl Unread {
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// Returns the error for a log that Kubernetes no longer has.
    pub(crate) fn no_log() -> Self {
        let why = "no log available, the kubelet has it no more".to_owned();
        Self {
            status: None,
            ends_all: false,
            failure: Failure::permanent(why.clone()),
            why,
        }
    }

    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        !self.failure.is_permanent()
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        let status = error.status();
        let (why, ends_all) = match error.kind() {
            ErrorKind::Denied(_) => ("Kubernetes not granted".to_owned(), true),
            ErrorKind::Unreachable(_) => ("the API server is unreachable".to_owned(), true),
            ErrorKind::Timeout => ("the API server did not answer in time".to_owned(), true),
            ErrorKind::BudgetExhausted(_) => {
                ("this step's limit of requests is used up".to_owned(), true)
            }
            ErrorKind::TooLarge(_) => ("the answer is too large".to_owned(), false),
            ErrorKind::Unreadable(_) => ("the answer is no JSON of Kubernetes".to_owned(), false),
            ErrorKind::Status { status, .. } => match status {
                401 => ("credential refused (401)".to_owned(), true),
                403 => ("forbidden (403)".to_owned(), false),
                404 => ("not found (404)".to_owned(), false),
                429 => ("the API server asks to wait (429)".to_owned(), true),
                500.. => (format!("the API server answered {status}"), true),
                _ => (format!("answered {status}"), false),
            },
            _ => ("the API server is unavailable".to_owned(), true),
        };
        Self {
            why,
            status,
            ends_all,
            failure: error.into(),
        }
    }
}

/// The objects of a list.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    /// True if there are more.
    pub(crate) is_cut: bool,
}

/// The client. Names that go into paths are checked by [`is_name`] beforehand.
#[derive(Debug)]
pub(crate) struct Kube<'a> {
    cx: &'a Cx,
    server: Server,
    share: Duration,
}

impl<'a> Kube<'a> {
    pub(crate) fn new(cx: &'a Cx, server: Server) -> Self {
        let share = (cx.call().time_left() / SHARES).clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        Self { cx, server, share }
    }

    /// Reads the pod, with twice the time of any other request.
    pub(crate) fn pod(&self, namespace: &str, pod: &str) -> Result<Value, Unread> {
        self.read(
            &format!(
                "/api/v1/namespaces/{}/pods/{}",
                encode(namespace),
                encode(pod)
            ),
            &[],
            self.share * 2,
        )
    }

    /// Reads one object of the group `apps` or `batch`, version 1.
    pub(crate) fn workload(
        &self,
        group: &str,
        namespace: &str,
        resource: &str,
        name: &str,
    ) -> Result<Value, Unread> {
        let folder = format!("/apis/{group}/v1/namespaces/{}", encode(namespace));
        self.read(
            &format!("{folder}/{resource}/{}", encode(name)),
            &[],
            self.share,
        )
    }

    /// Lists the `ReplicaSets` that carry these labels.
    pub(crate) fn replica_sets(&self, namespace: &str, labels: &str) -> Result<Listed, Unread> {
        let path = format!("/apis/apps/v1/namespaces/{}/replicasets", encode(namespace));
        self.list(&path, ("labelSelector", labels))
    }

    /// Lists the events that match a field selector, including normal ones, since the kill of a container is one of them.
    pub(crate) fn events(&self, namespace: &str, selector: &str) -> Result<Listed, Unread> {
        let path = format!("/api/v1/namespaces/{}/events", encode(namespace));
        self.list(&path, ("fieldSelector", selector))
    }

    /// Reads a node.
    pub(crate) fn node(&self, name: &str) -> Result<Value, Unread> {
        self.read(&format!("/api/v1/nodes/{}", encode(name)), &[], self.share)
    }

    /// Reads a container's log as text.
    pub(crate) fn log(
        &self,
        namespace: &str,
        pod: &str,
        query: &[(&str, &str)],
    ) -> Result<String, Unread> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log",
            encode(namespace),
            encode(pod)
        );
        Ok(self.get(&path, query, self.share)?.text())
    }

    fn list(&self, path: &str, selector: (&str, &str)) -> Result<Listed, Unread> {
        let mut listed = Listed::default();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![selector, ("limit", PAGE_ITEMS)];
            query.extend(after.as_deref().map(|after| ("continue", after)));
            let mut page = match self.read(path, &query, self.share) {
                Ok(page) => page,
                // The list has changed too much, or the server is slow: the earlier pages are used.
                Err(_) if after.is_some() => {
                    listed.is_cut = true;
                    return Ok(listed);
                }
                Err(unread) => return Err(unread),
            };
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                listed.items.extend(items);
            }
            after = text(&page, "/metadata/continue").map(str::to_owned);
            if after.is_none() {
                return Ok(listed);
            }
        }
        listed.is_cut = true;
        Ok(listed)
    }

    fn read(&self, path: &str, query: &[(&str, &str)], timeout: Duration) -> Result<Value, Unread> {
        let value: serde_json::Value = self.get(path, query, timeout)?.json()?;
        Ok(value)
    }

    fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<handler_sdk::http::Response, Unread> {
        let mut request = self
            .cx
            .http()
            .get(format!("{}{path}", self.server.url))
            .timeout(timeout);
        for (name, value) in query {
            request = request.query(name, value);
        }
        if let Some(credential) = &self.server.credential {
            request = request.credential(credential);
        }
        Ok(request.send()?.error_for_status()?)
    }
}

/// Returns whether text is a valid name of an object. Labels are untrusted, and `..` would change the path.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    let is_edge = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 253
        && text.bytes().all(is_allowed)
        && is_edge(text.bytes().next())
        && is_edge(text.bytes().last())
}

/// Returns the text at a JSON pointer; `None` if it is missing or empty.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Returns the time at a JSON pointer, in seconds since 1970; `None` if it is not set.
pub(crate) fn moment(value: &Value, pointer: &str) -> Option<i64> {
    let seconds = text(value, pointer)?.parse::<Timestamp>().ok()?.seconds;
    // 1970 and the year 1 mean "not set", in a container runtime and in Go.
    (seconds > 0).then_some(seconds)
}

/// Returns the items of the array at a JSON pointer.
pub(crate) fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_objects_go_into_paths() {
        for good in [
            "customer",
            "customer-rs-transformer-9b75b488c-cpfd7",
            "ip-10-0-4-17.us-west-1.compute.internal",
            "0",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "..",
            ".",
            "a/b",
            "../secrets",
            "A",
            "a_b",
            "-a",
            "a-",
            "a b",
            "a%2f",
            "é",
            "<!channel>",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_name(&"a".repeat(254)));
    }
}
