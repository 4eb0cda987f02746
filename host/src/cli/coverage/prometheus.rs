//! Asks a Prometheus server, or one with its API, for its alerting rules and its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Asked;
use crate::cli::args::CoverageArgs;
use crate::cli::client;
use crate::config::{RULES_MAX, labelling};
use crate::coverage::{AlertRule, Labelling};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How the client authenticates.
enum Login {
    Nothing,
    Bearer(String),
    Basic { user: String, password: String },
}

struct Server {
    base: url::Url,
    http: reqwest::Client,
    login: Login,
    runtime: tokio::runtime::Runtime,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    name: String,
    #[serde(default)]
    file: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type", default)]
    kind: String,
    name: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Configuration {
    yaml: String,
}

/// Why a server has no answer.
enum Unanswered {
    Status(StatusCode, String),
    Other(anyhow::Error),
}

/// Returns the alerting rules of a server, and what it does to the labels of alerts.
pub(super) fn ask(url: &str, args: &CoverageArgs) -> anyhow::Result<Asked> {
    let server = Server::new(url, args)?;
    let groups: Groups = server
        .get("api/v1/rules?type=alert")
        .map_err(|why| server.error(why))?;
    let rules = rules(groups);
    if rules.len() > RULES_MAX {
        bail!(
            "{} has {} alerting rules, more than {RULES_MAX}",
            server.base,
            rules.len()
        );
    }
    let mut assumptions = Vec::new();
    let labelling = server.labelling().unwrap_or_else(|why| {
        assumptions.push(format!(
            "the server adds no external labels and changes none: {why}. Name external labels with --external-label NAME=VALUE"
        ));
        Labelling::default()
    });
    Ok(Asked {
        rules,
        labelling,
        assumptions,
    })
}

fn rules(groups: Groups) -> Vec<AlertRule> {
    let mut found = Vec::new();
    for group in groups.groups {
        let alerting = group
            .rules
            .into_iter()
            .filter(|rule| rule.kind == "alerting");
        found.extend(alerting.map(|rule| AlertRule {
            name: rule.name,
            expr: rule.query,
            labels: rule.labels,
            group: group.name.clone(),
            place: group.file.clone(),
        }));
    }
    found
}

impl Server {
    fn new(url: &str, args: &CoverageArgs) -> anyhow::Result<Self> {
        let mut base = client::base(url)?;
        if !base.username().is_empty() || base.password().is_some() {
            bail!(
                "--prometheus has a user or a password: name them with --username and --password-file"
            );
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        base.set_query(None);
        base.set_fragment(None);
        crate::runtime::install_crypto();
        let mut http = reqwest::Client::builder().timeout(args.timeout);
        if client::is_this_machine(&base) {
            http = http.no_proxy();
        }
        Ok(Self {
            base,
            http: http.build().context("cannot set up HTTP")?,
            login: login(args)?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start")?,
        })
    }

    fn labelling(&self) -> Result<Labelling, String> {
        let configuration: Configuration =
            self.get("api/v1/status/config").map_err(|why| match why {
                Unanswered::Status(status, _) => {
                    format!("it does not show its configuration ({status})")
                }
                Unanswered::Other(error) => format!("its configuration cannot be read: {error}"),
            })?;
        labelling(&configuration.yaml)
            .ok_or_else(|| "its configuration is not understood".to_owned())
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        self.runtime.block_on(self.ask(path))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        let url = self
            .base
            .join(path)
            .map_err(|error| Unanswered::Other(error.into()))?;
        let request = match &self.login {
            Login::Nothing => self.http.get(url),
            Login::Bearer(token) => self.http.get(url).bearer_auth(token),
            Login::Basic { user, password } => self.http.get(url).basic_auth(user, Some(password)),
        };
        let mut response = request
            .send()
            .await
            .map_err(|error| Unanswered::Other(self.unreachable(&error)))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Unanswered::Other(self.unreachable(&error)))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                let mib = ANSWER_BYTES_MAX >> 20;
                return Err(Unanswered::Other(anyhow!(
                    "{} answers with more than {mib} MiB",
                    self.base
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let read = serde_json::from_slice::<Envelope<T>>(&body);
        if !status.is_success() {
            let reason = read.ok().and_then(|read| read.error).unwrap_or_default();
            return Err(Unanswered::Status(status, reason));
        }
        let read = read.map_err(|error| {
            Unanswered::Other(anyhow!(
                "{} does not answer as Prometheus does ({error}): name the URL of its API's root",
                self.base
            ))
        })?;
        read.data
            .ok_or_else(|| Unanswered::Other(anyhow!("{} answers without data", self.base)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        match error {
            late if late.is_timeout() => {
                anyhow!("{} did not answer in time: raise --timeout", self.base)
            }
            lost if lost.is_connect() => {
                anyhow!("no server answers at {}: correct --prometheus", self.base)
            }
            other => anyhow!("{} did not answer: {other}", self.base),
        }
    }

    fn error(&self, why: Unanswered) -> anyhow::Error {
        let (status, reason) = match why {
            Unanswered::Other(error) => return error,
            Unanswered::Status(status, reason) => (status, reason),
        };
        let advice = match (status, &self.login) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Login::Nothing) => {
                ": name a file with a bearer token with --bearer-token-file, or a user with --username and --password-file"
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                ": it refuses the token or the password that was sent"
            }
            (StatusCode::NOT_FOUND, _) => {
                ": name the URL of its API's root, such as http://HOST:9090 or https://HOST/prometheus"
            }
            _ => "",
        };
        let reason = match reason.is_empty() {
            true => reason,
            false => format!(" ({reason})"),
        };
        anyhow!("{} answers {status}{reason}{advice}", self.base)
    }
}

fn login(args: &CoverageArgs) -> anyhow::Result<Login> {
    if let Some(file) = &args.bearer_token_file {
        return Ok(Login::Bearer(secret(file, "the token")?));
    }
    Ok(match (&args.username, &args.password_file) {
        (Some(user), Some(file)) => Login::Basic {
            user: user.clone(),
            password: secret(file, "the password")?,
        },
        _ => Login::Nothing,
    })
}

fn secret(file: &Path, what: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {what} from {}", file.display()))?;
    match text.trim() {
        "" => bail!("{} is empty: write {what} into it", file.display()),
        secret => Ok(secret.to_owned()),
    }
}
