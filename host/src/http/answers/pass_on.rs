//! What only the replica that has the term can do: any other one passes it on to that, and answers what it says.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Answers, Person};
use crate::alert::DeliveryId;
use crate::http::error::ApiError;
use crate::queue::Force;

/// What is passed on.
#[derive(Debug, Serialize, Deserialize)]
struct Passed {
    person: Person,
    request: Request,
}

/// What a person has asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Retry {
        id: DeliveryId,
        force: bool,
    },
    /// As the query of the endpoint.
    RetryAll {
        query: String,
    },
    Cancel {
        id: DeliveryId,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { id, .. } => write!(f, "retry {id}"),
            Self::RetryAll { query } => write!(f, "retry all of {query:?}"),
            Self::Cancel { id } => write!(f, "cancel {id}"),
        }
    }
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Done(Value),
    Refused { status: u16, message: String },
}

impl Answers {
    /// Returns true if this server decides itself.
    pub(super) fn leads(&self) -> bool {
        *self.queue.leads().borrow()
    }

    /// Passes a request on, and returns the answer.
    pub(super) async fn pass_on<T: DeserializeOwned>(
        &self,
        person: &Person,
        request: Request,
    ) -> Result<T, ApiError> {
        tracing::info!(%person, %request, "passed on to the replica that has the term");
        let passed = Passed {
            person: person.clone(),
            request,
        };
        let asked = serde_json::to_string(&passed).map_err(|error| unknown(&error))?;
        let replied = self.queue.ask(asked).await;
        let replied = replied.map_err(|e| unavailable(e.to_string()))?;
        match serde_json::from_str(&replied).map_err(|error| unknown(&error))? {
            Reply::Done(value) => serde_json::from_value(value).map_err(|error| unknown(&error)),
            Reply::Refused { status, message } => Err(ApiError::new(
                StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
                message,
            )),
        }
    }

    /// Does what other replicas pass on while this one has the term, until the store is closed.
    pub(crate) async fn answer_others(self: Arc<Self>) {
        let mut asked = self.queue.asked();
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                Some(one) = asked.recv() => {
                    let answers = Arc::clone(&self);
                    under_way.spawn(async move {
                        let reply = answers.reply(&one.request).await;
                        one.answer(reply);
                    });
                }
                Some(_) = under_way.join_next() => {}
                else => return,
            }
        }
    }

    async fn reply(&self, passed: &str) -> String {
        let reply = match serde_json::from_str::<Passed>(passed) {
            Ok(passed) => self.do_here(passed).await,
            Err(error) => Err(unknown(&error)),
        };
        let reply = match reply {
            Ok(value) => Reply::Done(value),
            Err(error) => Reply::Refused {
                status: error.status().as_u16(),
                message: error.message().to_owned(),
            },
        };
        serde_json::to_string(&reply).unwrap_or_default()
    }

    async fn do_here(&self, Passed { person, request }: Passed) -> Result<Value, ApiError> {
        fn json(answer: impl Serialize) -> Result<Value, ApiError> {
            serde_json::to_value(answer).map_err(|error| unknown(&error))
        }
        match request {
            Request::Retry { id, force } => {
                let force = if force { Force::Yes } else { Force::No };
                json(self.retry_here(&person, id, force).await?)
            }
            Request::RetryAll { query } => json(self.retry_all_here(&person, &query).await?),
            Request::Cancel { id } => json(self.cancel_here(&person, id).await?),
        }
    }
}

fn unavailable(message: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

/// The replicas are of versions that do not understand each other.
fn unknown(error: &serde_json::Error) -> ApiError {
    unavailable(format!(
        "the replica that has the term is of another version, which does not understand this request or its answer ({error}); ask it directly, or try again when all replicas have one version"
    ))
}
