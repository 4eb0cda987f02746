//! Asks a running server over HTTP.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::args::ServerArgs;

/// Longer than any answer of the API takes; a server that is gone is noticed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a server listens that was told nothing else.
const URL_DEFAULT: &str = "http://127.0.0.1:5000";

/// What proves a client to the server.
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

/// A body for the webhook.
struct Alerts {
    body: String,
    token: Option<Token>,
}

impl Client {
    /// Makes a client from the flags and variables of the asking commands.
    pub(super) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        // An empty variable is one that is not set.
        let url = args.url.as_deref().filter(|url| !url.is_empty());
        let url = url.unwrap_or(URL_DEFAULT);
        let base: url::Url = url
            .parse()
            .with_context(|| format!("{url:?} is no URL: write http://HOST:PORT"))?;
        if !matches!(base.scheme(), "http" | "https") {
            bail!("{base} is neither http nor https");
        }
        let token = args
            .token_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
            .map(Token::read)
            .transpose()?;
        crate::runtime::install_crypto();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .context("cannot set up HTTP")?;
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

    /// Asks for `path`, with query pairs.
    pub(super) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.send(reqwest::Method::GET, path, query, None)
    }

    /// Posts nothing to `path`, with query pairs.
    pub(super) fn post(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.send(reqwest::Method::POST, path, query, None)
    }

    /// Posts a body of alerts to the webhook, which may ask for a token of its own.
    pub(super) fn post_alerts(
        &self,
        body: String,
        token_file: Option<&Path>,
    ) -> anyhow::Result<Value> {
        let token = token_file.map(Token::read).transpose()?;
        let alerts = Alerts { body, token };
        self.send(reqwest::Method::POST, "/webhook", &[], Some(alerts))
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
        alerts: Option<Alerts>,
    ) -> anyhow::Result<Value> {
        let flag = match alerts {
            Some(_) => "--webhook-token-file",
            None => "--token-file",
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
                .with_context(|| format!("{} broke off its answer", self.base))?;
            let body: Value = serde_json::from_str(&text).with_context(|| {
                format!("{} answered {status} and no JSON: is it an alert-manager?", self.base)
            })?;
            if status.is_success() {
                return Ok(body);
            }
            let reason = body["error"].as_str().unwrap_or("no reason given");
            if status == reqwest::StatusCode::UNAUTHORIZED && !has_token {
                bail!("{reason}: name a file with the token with {flag}");
            }
            bail!("{reason}")
        })
    }
}
