//! Prepares a handler's request for sending: checks it against the grants, and adds the credential.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use super::breakers::Breakers;
use super::credential::{Credential, CredentialKind};
use super::egress::{Clients, HttpClient, judge_literal};
use super::headers::{self, AddedHeader, Echo};
use super::mask::Masks;
use super::proxy::Proxy;
use super::rates::{ORIGINS_MAX, Rates, TooLate};
use super::request::{AnswerBound, OutboundError, OutboundRequest};
use crate::limits;
use alert_manager_core::alert::HandlerName;
use alert_manager_core::policy::{Grants, HttpGrant, Refusal, scalar};

/// The policy and the clients for the requests of one handler.
pub(crate) struct Requester<'a> {
    pub(crate) handler: &'a HandlerName,
    pub(crate) grants: &'a Arc<Grants>,
    /// The handler's settings, one of which may be a secret by mistake.
    pub(crate) config: &'a BTreeMap<String, String>,
    pub(crate) credentials: &'a BTreeMap<String, Arc<Credential>>,
    pub(crate) clients: &'a Clients,
    pub(crate) proxy: Option<&'a Arc<Proxy>>,
    /// The client to use instead of one that sends.
    pub(crate) answered: Option<&'a HttpClient>,
}

/// A request that may be sent.
pub(crate) struct Prepared {
    pub(super) client: HttpClient,
    pub(super) request: reqwest::RequestBuilder,
    origin: String,
    /// The grant that allows it, as the configuration writes it.
    grant: String,
    /// The name of the credential that it has.
    credential: Option<String>,
    pub(super) deadline: Instant,
    /// The credentials to mask in the response.
    pub(super) masks: Masks,
    pub(super) echo: Echo,
    pub(super) changes: bool,
    pub(super) answer: AnswerBound,
    /// For the configuration lines in a refusal.
    pub(super) handler: HandlerName,
    pub(super) grants: Arc<Grants>,
}

/// Why a request is not sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// The origin's circuit breaker is open.
    Breaker(String),
    /// The wait for the handler's rate limit would be too long.
    Rate(String),
}

impl Requester<'_> {
    /// Checks a request and adds its credential.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub(crate) fn prepare(&self, request: OutboundRequest) -> Result<Prepared, OutboundError> {
        let changes = request.changes();
        let url = parse(&request.url).map_err(OutboundError::Invalid)?;
        let names = request.headers.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.collect();
        let grant = self
            .grants
            .request(request.method.as_str(), &url, &names)
            .map_err(|refusal| self.denied(refusal))?;
        judge_literal(grant, &url).map_err(|refusal| self.denied(refusal))?;
        let credential = match &request.credential {
            Some(name) => Some(self.credential(name, &url)?),
            None => None,
        };
        let added = match credential {
            Some(credential) => {
                Some(AddedHeader::of(credential).map_err(OutboundError::Unavailable)?)
            }
            None => None,
        };
        let ca_file = ca_file(grant, credential);
        let client = match self.answered {
            Some(answered) => answered.clone(),
            None => self
                .clients
                .get(grant, ca_file, &url, self.proxy)
                .map_err(|error| OutboundError::Unreachable(error.to_string()))?,
        };
        let origin = url.origin().ascii_serialization();
        let mut masks = self.masks_at(&url, request.credential.as_deref());
        let echo = match (&added, masks.is_empty()) {
            (None, true) => Echo::Impossible,
            _ => Echo::Possible,
        };
        let given = headers::check(&request.headers, added.as_ref(), echo)
            .map_err(OutboundError::Invalid)?;
        let mut builder = client.request(request.method, url);
        for (name, value) in given {
            builder = builder.header(name, value);
        }
        if let Some(added) = added {
            builder = builder.header(added.name, added.value);
            masks.extend(added.masks);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        Ok(Prepared {
            client,
            request: builder,
            origin,
            grant: grant.to_string(),
            credential: request.credential,
            deadline: request.deadline,
            masks,
            echo,
            changes,
            answer: request.answer,
            handler: self.handler.clone(),
            grants: Arc::clone(self.grants),
        })
    }

    fn denied(&self, refusal: Refusal) -> OutboundError {
        let refusal = refusal.for_handler(self.handler, self.grants);
        OutboundError::Denied(refusal.to_string())
    }

    fn credential(&self, name: &str, url: &Url) -> Result<&Credential, OutboundError> {
        if !self.credentials.contains_key(name)
            && self.config.values().any(|value| value.trim() == name)
        {
            // The setting may be the secret itself instead of its name, so it is not shown.
            return Err(OutboundError::Denied(
                "A setting of this handler names a credential that is not below `credentials` (not shown, since it may \
                 be a secret)."
                    .to_owned(),
            ));
        }
        self.grants
            .credential(name)
            .map_err(|refusal| self.denied(refusal))?;
        let Some(credential) = self.credentials.get(name) else {
            return Err(OutboundError::Denied(format!(
                "The credential {name:?} is granted, but there is none of that name below `credentials`."
            )));
        };
        if !credential.is_for(url) {
            let origin = url.origin().ascii_serialization();
            let origins = credential.origins.iter().map(ToString::to_string);
            let origins: Vec<_> = origins.chain([origin.clone()]).collect();
            return Err(OutboundError::Denied(format!(
                "The credential {name:?} is not sent to {origin}. To allow it, add {origin} to credentials.{name}.origins.\n\
                 credentials:\n  {}:\n    origins: {}",
                scalar(name),
                serde_json::Value::from(origins)
            )));
        }
        Ok(credential)
    }

    /// Returns the masks of the other credentials that the handler may send to this URL. A request without a credential
    /// could read what an earlier request with one left at the service.
    fn masks_at(&self, url: &Url, sent: Option<&str>) -> Masks {
        let mut masks = Masks::default();
        if self.grants.withheld.is_some() {
            return masks;
        }
        for name in &self.grants.credentials {
            let credential = self.credentials.get(name);
            if let Some(credential) =
                credential.filter(|own| Some(name.as_str()) != sent && own.is_for(url))
                // A credential that cannot be read was not sent either.
                && let Ok(added) = AddedHeader::of(credential)
            {
                masks.extend(added.masks);
            }
        }
        masks
    }
}

impl Prepared {
    /// Returns the origin of the request, such as `https://api.example.com`.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the grant that allows it, as the configuration writes it.
    pub(crate) fn grant(&self) -> &str {
        &self.grant
    }

    /// Returns the name of the credential that it has.
    pub(crate) fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// Returns what would be sent, with the headers that the host adds; `None` if it cannot be.
    pub(crate) fn unsent(&self) -> Option<reqwest::Request> {
        self.request.try_clone()?.build().ok()
    }

    /// Returns true if nothing is sent and the request has an answer.
    pub(crate) fn has_answer(&self) -> bool {
        self.unsent()
            .is_some_and(|request| self.client.has_answer(request.method(), request.url()))
    }

    /// Returns the bound of the response body.
    pub(crate) fn answer_bound(&self) -> AnswerBound {
        self.answer
    }

    /// Asks the origin's circuit breaker, and takes a permit of the handler's rate limit of `per_second` requests to one
    /// origin. Returns how long to wait before sending.
    ///
    /// # Errors
    /// Why it is not sent now.
    pub(crate) fn admit(
        &self,
        breakers: &Breakers,
        rates: &Rates,
        per_second: u32,
        now: Instant,
    ) -> Result<Duration, NotAdmitted> {
        let origin = &self.origin;
        if let Some(why) = breakers.refuses(&self.handler, origin, now) {
            return Err(NotAdmitted::Breaker(why));
        }
        // The other half of the time is left to the origin, which would otherwise be blamed for a timeout.
        let wait_max = self.deadline.saturating_duration_since(now) / 2;
        let permit = rates.take_request(origin, per_second, wait_max, now);
        permit.map_err(|late| {
            NotAdmitted::Rate(match late {
                TooLate::Permit(wait) => format!(
                    "{origin} has had its {per_second} requests a second from this handler; \
                     the next permit is in {wait:.1?}"
                ),
                TooLate::Origins => format!(
                    "this handler has asked {ORIGINS_MAX} origins within seconds, and {origin} is one \
                     more; ask again when some of them have rested"
                ),
            })
        })
    }
}

/// Parses a URL.
///
/// # Errors
/// What is wrong with it.
fn parse(url: &str) -> Result<Url, String> {
    let max = limits::HTTP_URL_BYTES_MAX;
    if url.len() > max {
        return Err(format!("url: {} bytes, at most {max}", url.len()));
    }
    Url::parse(url).map_err(|error| format!("url: {error}"))
}

/// Returns the CA file of the grant, else that of the credential.
fn ca_file<'a>(grant: &'a HttpGrant, credential: Option<&'a Credential>) -> Option<&'a Path> {
    grant.ca_file().or_else(|| match &credential?.kind {
        CredentialKind::ServiceAccount { ca_file, .. } => Some(ca_file),
        CredentialKind::Authorization(_) | CredentialKind::Header { .. } => None,
    })
}
