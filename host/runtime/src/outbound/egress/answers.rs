//! Answers in the place of the network: a handler is tried without a request leaving the process.

use reqwest::{Method, Request, Response};
use url::Url;

/// Answers requests that would otherwise be sent.
pub trait HttpAnswers: Send + Sync {
    /// Returns the answer to a request; `None` if there is none.
    fn answer(&self, method: &Method, url: &Url) -> Option<HttpAnswer>;

    /// Returns why a request has no answer, for the author of the handler.
    fn why_none(&self, method: &Method, url: &Url) -> String;
}

/// An answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// Names with values. A name may occur more than once.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a request was not answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(String);

/// Answers a request as a server would.
///
/// # Errors
/// If there is no answer, or if it is no valid response.
pub(super) fn respond(answers: &dyn HttpAnswers, request: &Request) -> Result<Response, NoAnswer> {
    let (method, url) = (request.method(), request.url());
    let Some(answer) = answers.answer(method, url) else {
        return Err(NoAnswer(answers.why_none(method, url)));
    };
    let mut response = http::Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    // A response to HEAD has no body.
    let body = match *method {
        Method::HEAD => Vec::new(),
        _ => answer.body,
    };
    match response.body(body) {
        Ok(response) => Ok(response.into()),
        Err(error) => Err(NoAnswer(format!("the answer is no response: {error}"))),
    }
}
