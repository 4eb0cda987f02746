//! Finds credentials that are granted to a handler and can never be sent.

use crate::alert::HandlerName;
use crate::policy::{HttpGrant, scalar};

use super::{FindingText, Review};

impl Review<'_> {
    /// A credential is sent only to its own origins: if the handler may send requests to none of them, every request that names
    /// the credential is refused.
    pub(super) fn credentials(&mut self, name: &HandlerName) {
        let settings = self.config.handlers.of(name);
        let http = &settings.grants.http;
        if http.is_empty() {
            return;
        }
        for granted in &settings.grants.credentials {
            let Some(credential) = self.config.credentials.get(granted) else {
                continue;
            };
            let is_of_use = |origin: &HttpGrant| http.iter().any(|grant| grant.overlaps(origin));
            if credential.origins.is_empty() || credential.origins.iter().any(is_of_use) {
                continue;
            }
            let list = |grants: &[HttpGrant]| {
                let texts: Vec<_> = grants.iter().map(HttpGrant::to_string).collect();
                texts.join(", ")
            };
            let message = format!(
                "{name} is granted the credential {granted}, which is sent to {} alone, and requests to {} alone: each one that names it would be refused",
                list(&credential.origins),
                list(http)
            );
            let origins = credential
                .origins
                .iter()
                .chain(http)
                .map(ToString::to_string);
            let origins: Vec<_> = origins.collect();
            let lines = format!(
                "credentials:\n  {}:\n    origins: {}",
                scalar(granted),
                serde_json::Value::from(origins)
            );
            let advice = format!(
                "correct credentials.{granted}.origins or handlers.{name}.allow.http; to send it to what the handler may request, its origins are"
            );
            let path = format!("handlers.{name}.allow.credentials");
            let said = FindingText::new(message, advice).with_lines(lines);
            self.fail(Some(name), &path, said);
        }
    }
}
