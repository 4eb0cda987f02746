//! An HTTP client for a running server.

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::ServerArgs;
use crate::api;
use crate::http::STILL_LOADING;

/// The timeout of a request, longer than any response takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The default address of a server.
pub(super) const URL_DEFAULT: &str = "http://127.0.0.1:5000";

/// The bearer token that authenticates the client.
#[derive(Clone)]
struct Token(String);

impl Token {
    fn read(file: &Path) -> anyhow::Result<Self> {
        std::fs::read_to_string(file)
            .map(|text| Self(text.trim().to_owned()))
            .with_context(|| format!("cannot read the token file {}", file.display()))
    }
}

/// A connection to one server's API.
pub(super) struct Client {
    http: reqwest::Client,
    base: url::Url,
    token: Option<Token>,
    runtime: tokio::runtime::Runtime,
}

/// An endpoint that requires authorization, with the flag and variable for its token.
struct Endpoint {
    flag: &'static str,
    variable: &'static str,
    key: &'static str,
}

const API: Endpoint = Endpoint {
    flag: "--token-file",
    variable: "ALERT_MANAGER_TOKEN_FILE",
    key: "api.authorization",
};

const WEBHOOK: Endpoint = Endpoint {
    flag: "--webhook-token-file",
    variable: "ALERT_MANAGER_WEBHOOK_TOKEN_FILE",
    key: "webhook.authorization",
};

impl Endpoint {
    fn advice(&self, has_token: bool) -> String {
        let Self {
            flag,
            variable,
            key,
        } = self;
        if has_token {
            format!(
                "the token that was sent is not that of `{key}` in the server's configuration; name a file with the right one with {flag} or {variable}"
            )
        } else {
            format!(
                "name a file with the token of `{key}` in the server's configuration with {flag} or {variable}"
            )
        }
    }
}

/// Parses an argument that names a server, which may be just HOST:PORT.
pub(super) fn base(text: &str) -> anyhow::Result<url::Url> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: url::Url = whole
        .parse()
        .with_context(|| format!("{text:?} is not a URL: write http://HOST:PORT"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{text} is neither http nor https: write http://HOST:PORT");
    }
    Ok(url)
}

pub(super) fn is_this_machine(base: &url::Url) -> bool {
    match base.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// The query of a request.
pub(super) type Query = Vec<(&'static str, String)>;

/// Returns the path of an action on a delivery; the typed id is encoded as one segment.
fn of_delivery(id: &str, what: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/api/v1/deliveries/{id}{what}")
}

/// A successful response and its JSON, which `--json` prints unchanged, including fields of a newer server.
#[derive(Clone, Debug)]
pub(super) struct Answer<T> {
    json: Value,
    kind: PhantomData<T>,
}

impl<T> Answer<T> {
    pub(super) fn new(json: Value) -> Self {
        Self {
            json,
            kind: PhantomData,
        }
    }

    pub(super) fn json(&self) -> &Value {
        &self.json
    }
}

impl<T: DeserializeOwned> Answer<T> {
    /// Returns the parsed response.
    pub(super) fn read(&self) -> anyhow::Result<T> {
        serde_json::from_value(self.json.clone())
            .context("the server's answer is not of a form that this version knows")
    }
}

/// The error of a server that has started and does not accept alerts yet.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StillLoading(String);

/// A body for the webhook.
struct Alerts {
    body: String,
    token: Option<Token>,
}

impl Client {
    /// Creates a client from flags and variables.
    pub(super) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        // An empty variable counts as not set.
        let url = args.url.as_deref().filter(|url| !url.is_empty());
        let url = url.unwrap_or(URL_DEFAULT);
        let base = base(url)?;
        let token = args
            .token_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
            .map(Token::read)
            .transpose()?;
        crate::runtime::install_crypto();
        let mut http = reqwest::Client::builder().timeout(TIMEOUT);
        if is_this_machine(&base) {
            // A proxy from HTTP_PROXY or ALL_PROXY must not get the token and the request.
            http = http.no_proxy();
        }
        let http = http.build().context("cannot set up HTTP")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start")?;
        Ok(Self {
            http,
            base,
            token,
            runtime,
        })
    }

    /// Lists deliveries.
    pub(super) fn deliveries(&self, query: &Query) -> anyhow::Result<Answer<api::Deliveries>> {
        self.get("/api/v1/deliveries", query)
    }

    /// Returns a delivery with its story.
    pub(super) fn story(&self, id: &str) -> anyhow::Result<Answer<api::Story>> {
        self.get(&of_delivery(id, ""), &Query::new())
    }

    /// Lists the handlers.
    pub(super) fn handlers(&self) -> anyhow::Result<Answer<api::Handlers>> {
        self.get("/api/v1/handlers", &Query::new())
    }

    /// Lists the routes.
    pub(super) fn routes(&self) -> anyhow::Result<Answer<api::Routes>> {
        self.get("/api/v1/routes", &Query::new())
    }

    /// Lists Slack's channels and the other gates.
    pub(super) fn channels(&self) -> anyhow::Result<Answer<api::Channels>> {
        self.get("/api/v1/channels", &Query::new())
    }

    /// Lists the servers that have the store open.
    pub(super) fn replicas(&self) -> anyhow::Result<Answer<api::Replicas>> {
        self.get("/api/v1/replicas", &Query::new())
    }

    /// Retries one delivery.
    pub(super) fn retry(&self, id: &str, query: &Query) -> anyhow::Result<Answer<api::SentAgain>> {
        self.post(&of_delivery(id, "/retry"), query)
    }

    /// Retries every delivery that the query selects.
    pub(super) fn retry_all(&self, query: &Query) -> anyhow::Result<Answer<api::Retried>> {
        self.post("/api/v1/deliveries/retry", query)
    }

    /// Cancels one delivery.
    pub(super) fn cancel(&self, id: &str) -> anyhow::Result<Answer<api::Cancelled>> {
        self.post(&of_delivery(id, "/cancel"), &Query::new())
    }

    /// Makes the server read its configuration and folder again.
    pub(super) fn reload(&self) -> anyhow::Result<Answer<api::Reloaded>> {
        self.post("/-/reload", &Query::new())
    }

    /// Posts a body of alerts to the webhook, which may require a token of its own.
    pub(super) fn post_alerts(
        &self,
        body: String,
        token_file: Option<&Path>,
    ) -> anyhow::Result<Answer<api::Accepted>> {
        let token = token_file.map(Token::read).transpose()?;
        let alerts = Alerts { body, token };
        let json = self.send(reqwest::Method::POST, "/webhook", &[], Some(alerts))?;
        Ok(Answer::new(json))
    }

    fn get<T>(&self, path: &str, query: &Query) -> anyhow::Result<Answer<T>> {
        let json = self.send(reqwest::Method::GET, path, query, None)?;
        Ok(Answer::new(json))
    }

    fn post<T>(&self, path: &str, query: &Query) -> anyhow::Result<Answer<T>> {
        let json = self.send(reqwest::Method::POST, path, query, None)?;
        Ok(Answer::new(json))
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        alerts: Option<Alerts>,
    ) -> anyhow::Result<Value> {
        let door = match alerts {
            Some(_) => &WEBHOOK,
            None => &API,
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        let mut token = self.token.clone();
        if let Some(alerts) = alerts {
            token = alerts.token.or(token);
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(alerts.body);
        }
        let has_token = token.is_some();
        if let Some(Token(token)) = token {
            request = request.bearer_auth(token);
        }
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| {
                if error.is_connect() {
                    anyhow!(
                        "no server answers at {}: start one with `alert-manager serve`, or name it with --url or ALERT_MANAGER_URL",
                        self.base
                    )
                } else {
                    anyhow!("{} did not answer: {error}", self.base)
                }
            })?;
            let status = response.status();
            let text = response
                .text()
                .await
                .with_context(|| format!("{} did not send its whole answer", self.base))?;
            let body: Value = serde_json::from_str(&text).with_context(|| {
                format!("{} answered {status}, but not with JSON: is it an alert-manager?", self.base)
            })?;
            if status.is_success() {
                return Ok(body);
            }
            let reason = serde_json::from_value(body).map(|api::Error { error }| error);
            let reason = reason.unwrap_or_else(|_| "no reason given".to_owned());
            match status {
                reqwest::StatusCode::SERVICE_UNAVAILABLE if reason.starts_with(STILL_LOADING) => {
                    Err(StillLoading(reason).into())
                }
                reqwest::StatusCode::UNAUTHORIZED => bail!("{reason}: {}", door.advice(has_token)),
                reqwest::StatusCode::MISDIRECTED_REQUEST => bail!("{reason}; --url names the server to connect to"),
                _ => bail!("{reason}"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn this_machine_is_known_by_its_loopback_addresses_and_names() {
        for (text, expected) in [
            ("localhost:5000", true),
            ("LOCALHOST.:5000", true),
            ("am.localhost", true),
            ("127.8.9.10", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("10.1.2.3", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_this_machine(&base(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_server_is_named_by_a_url_or_by_host_and_port() {
        for (text, url) in [
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("alerts.example.com", "http://alerts.example.com/"),
            (
                "https://alerts.example.com/am",
                "https://alerts.example.com/am",
            ),
        ] {
            assert_eq!(base(text).unwrap().as_str(), url);
        }
        for text in ["ftp://host", "http://", "a b"] {
            let error = base(text).unwrap_err().to_string();
            assert!(error.contains("write http://HOST:PORT"), "{error}");
        }
    }
}
