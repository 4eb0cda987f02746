//! Asks a running server over HTTP.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::args::ServerArgs;

/// Longer than any answer of the API takes; a server that is gone is noticed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a server listens that was told nothing else.
const URL_DEFAULT: &str = "http://127.0.0.1:5000";

/// A connection to one server's API.
pub(super) struct Client {
    http: reqwest::Client,
    base: url::Url,
    token: Option<String>,
    runtime: tokio::runtime::Runtime,
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
            .as_ref()
            .map(|path| {
                std::fs::read_to_string(path)
                    .map(|text| text.trim().to_owned())
                    .with_context(|| format!("cannot read the token file {}", path.display()))
            })
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
        self.send(reqwest::Method::GET, path, query)
    }

    /// Posts nothing to `path`, with query pairs.
    pub(super) fn post(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.send(reqwest::Method::POST, path, query)
    }

    fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<Value> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
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
            if status == reqwest::StatusCode::UNAUTHORIZED && self.token.is_none() {
                bail!("{reason}: name a file with the token with --token-file");
            }
            bail!("{reason}")
        })
    }
}
