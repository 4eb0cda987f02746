//! Sends a request, reads the response within its deadline and size limit, and masks credentials in it.

use std::time::Instant;

use super::change::Change;
use super::egress::{SendError, refusal_in, root_cause};
use super::headers::Echo;
use super::mask::Masks;
use super::prepare::Prepared;
use super::readable;
use super::request::{OutboundError, OutboundResponse};

/// The largest body that is searched for credentials on the current thread. Larger ones are searched on a blocking thread.
const MASKED_AT_ONCE_BYTES_MAX: usize = 16 << 10;

/// The result of a request that was sent.
pub(crate) struct Exchange {
    pub(crate) reply: Result<OutboundResponse, OutboundError>,
    /// Whether the change was made; meaningless for a read.
    pub(crate) change: Change,
    /// The line of the story, if there was a response.
    pub(crate) line: Option<String>,
    /// The number of body bytes that were read and are withheld from the handler.
    pub(crate) withheld_bytes: usize,
}

impl Exchange {
    fn unanswered(error: OutboundError, change: Change) -> Self {
        Self {
            reply: Err(error),
            change,
            line: None,
            withheld_bytes: 0,
        }
    }
}

/// How a body ended.
enum BodyEnd {
    Whole,
    /// It is complete, but cannot be searched for a credential.
    Unreadable(&'static str),
    TooLarge,
    Broken(String),
    Late,
}

impl Prepared {
    /// Sends the request and reads the response.
    pub(crate) async fn send(self) -> Exchange {
        let sending = self.client.send(self.request);
        let response = match tokio::time::timeout_at(self.deadline.into(), sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let denied = refusal_in(&error).map(|refusal| {
                    let refusal = refusal.clone().for_handler(&self.handler, &self.grants);
                    OutboundError::Denied(refusal.to_string())
                });
                return not_sent(&error, denied);
            }
            Err(_) => return Exchange::unanswered(OutboundError::Timeout, Change::Unknown),
        };
        let reading = Reading {
            deadline: self.deadline,
            echo: self.echo,
            changes: self.changes,
            bytes_max: self.answer.bytes_max,
            limit: self.answer.limit.as_str(),
        };
        let mut sent = reading.read(response).await;
        if let Ok(response) = sent.reply {
            sent.reply = masked(self.masks, response).await;
        }
        sent
    }
}

/// The settings for reading a response.
struct Reading {
    deadline: Instant,
    echo: Echo,
    changes: bool,
    bytes_max: u32,
    limit: &'static str,
}

impl Reading {
    async fn read(&self, mut response: reqwest::Response) -> Exchange {
        let status = response.status();
        let says_when = response
            .headers()
            .contains_key(reqwest::header::RETRY_AFTER);
        let change = Change::of_status(status.as_u16(), says_when);
        let headers = headers_of(&response);
        let unreadable = match self.echo {
            Echo::Possible => readable::why_not(status, response.headers()),
            Echo::Impossible => None,
        };
        let reading = read_body(&mut response, self.bytes_max);
        let (body, end) = match tokio::time::timeout_at(self.deadline.into(), reading).await {
            Ok((body, BodyEnd::Whole)) => match unreadable {
                Some(why) if !body.is_empty() => (body, BodyEnd::Unreadable(why)),
                _ => (body, BodyEnd::Whole),
            },
            Ok(other) => other,
            Err(_) => (Vec::new(), BodyEnd::Late),
        };
        let read_bytes = body.len();
        // The change was made: an error would make the handler repeat it.
        let keeps = self.changes && change == Change::Made;
        let (reply, line) = self.judge(status.as_u16(), body, end, keeps);
        let given_bytes = match &reply {
            Ok(body) => body.len(),
            // This error's bound is counted instead.
            Err(OutboundError::TooLarge(_)) => read_bytes,
            Err(_) => 0,
        };
        Exchange {
            reply: reply.map(|body| OutboundResponse {
                status: status.as_u16(),
                headers,
                body,
            }),
            change,
            line: Some(line),
            withheld_bytes: read_bytes - given_bytes,
        }
    }

    /// Returns the body for the handler, or its error, and the line of the story. `keeps` is true if an incomplete response
    /// must not become an error.
    fn judge(
        &self,
        status: u16,
        body: Vec<u8>,
        end: BodyEnd,
        keeps: bool,
    ) -> (Result<Vec<u8>, OutboundError>, String) {
        let line = format!("{status}, {} bytes", body.len());
        // An incomplete body may end within a credential, which is then not recognized.
        let part = |body| match self.echo {
            Echo::Possible => Vec::new(),
            Echo::Impossible => body,
        };
        match end {
            BodyEnd::Whole => (Ok(body), line),
            BodyEnd::Unreadable(why) => {
                let reply = match keeps {
                    true => Ok(Vec::new()),
                    false => Err(OutboundError::Denied(readable::refusal(why))),
                };
                (reply, format!("{line}, withheld: {why}"))
            }
            BodyEnd::TooLarge => {
                let (max, limit) = (self.bytes_max, self.limit);
                let line = format!("{status}, a body over {max} bytes ({limit})");
                (Err(OutboundError::TooLarge(max)), line)
            }
            BodyEnd::Broken(why) => {
                let line = format!("{line}, then {why}");
                match keeps {
                    true => (Ok(part(body)), line),
                    false => (Err(OutboundError::Unreachable(why)), line),
                }
            }
            BodyEnd::Late => {
                let line = format!("{line}, then no more in time");
                match keeps {
                    true => (Ok(part(body)), line),
                    false => (Err(OutboundError::Timeout), line),
                }
            }
        }
    }
}

fn headers_of(response: &reqwest::Response) -> Vec<(String, String)> {
    let headers = response.headers().iter();
    headers
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}

async fn read_body(response: &mut reqwest::Response, bytes_max: u32) -> (Vec<u8>, BodyEnd) {
    let max = bytes_max as usize;
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max => {
                return (Vec::new(), BodyEnd::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (body, BodyEnd::Whole),
            Err(error) => return (body, BodyEnd::Broken(root_cause(&error))),
        }
    }
}

/// Masks the credentials in a response. A large body is searched on a blocking thread.
async fn masked(
    masks: Masks,
    mut response: OutboundResponse,
) -> Result<OutboundResponse, OutboundError> {
    if response.body.len() <= MASKED_AT_ONCE_BYTES_MAX || masks.is_empty() {
        masks.apply(&mut response);
        return Ok(response);
    }
    let masked = tokio::task::spawn_blocking(move || {
        masks.apply(&mut response);
        response
    });
    masked.await.map_err(|error| {
        OutboundError::Unavailable(format!(
            "the answer could not be searched for the credential: {error}"
        ))
    })
}

/// Returns the result of a request without a response. `denied` is set if the address of its host was refused.
fn not_sent(error: &SendError, denied: Option<OutboundError>) -> Exchange {
    if let Some(denied) = denied {
        return Exchange::unanswered(denied, Change::NotSent);
    }
    let cause = root_cause(error);
    if error.is_builder() {
        return Exchange::unanswered(OutboundError::Invalid(cause), Change::NotSent);
    }
    let change = match error.is_connect() {
        true => Change::NotSent,
        false => Change::Unknown,
    };
    Exchange::unanswered(OutboundError::Unreachable(cause), change)
}
