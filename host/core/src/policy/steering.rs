//! Headers and parameters that steer a request to another method, path, host or user than the one that its grant covers.
//!
//! Frameworks and proxies take another method from `X-HTTP-Method-Override`, another path from `X-Original-URL`, another
//! host from `X-Forwarded-Host`, another user from `Impersonate-User`. A grant does not cover the values of such headers, so
//! each is sent only if the grant names it.

use url::{Url, form_urlencoded};

use super::grant::{GrantError, HttpGrant};

/// The names, folded. Names that end with `-override` or begin with one of [`FAMILIES`] are not listed.
const STEERING: [&str; 27] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "http-method",
    "method",
    "ssl-client-cert",
    "ssl-client-verify",
    "true-client-ip",
    "via",
    "x-azure-clientip",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-destination-url",
    "x-host",
    "x-http-destinationurl",
    "x-http-method",
    "x-method",
    "x-middleware-subrequest",
    "x-real-ip",
    "x-real-url",
    "x-request-method",
    "x-request-uri",
    "x-scheme",
    "x-script-name",
    "x-sendfile",
];

/// Prefixes of whole families of names.
const FAMILIES: [&str; 14] = [
    "impersonate-",
    "remote-",
    "x-accel-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-envoy-",
    "x-forwarded",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-original-",
    "x-proxy-",
    "x-remote-",
    "x-rewrite-",
    "x-webauth-",
];

/// Parameters from which frameworks take another method, folded.
const METHOD_PARAMETERS: [&str; 6] = [
    "-method",
    "-httpmethod",
    "http-method",
    "httpmethod",
    "x-http-method",
    "x-http-method-override",
];

/// Returns a name in the form that the most lenient server would give it: CGI and its successors treat `_` and every other
/// mark as `-`.
pub fn folded(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '-',
        })
        .collect()
}

/// Returns whether a header has to be named by the grant. The name is folded.
pub(super) fn is_steering(folded: &str) -> bool {
    STEERING.contains(&folded)
        || folded.ends_with("-override")
        || FAMILIES.iter().any(|family| folded.starts_with(family))
}

/// Returns the methods that the query asks for, in upper case.
pub(super) fn methods_in_query(url: &Url) -> Vec<String> {
    // Some servers treat `;` as `&`.
    let pairs = url.query().unwrap_or_default().split(['&', ';']);
    pairs
        .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()))
        .filter(|(name, _)| METHOD_PARAMETERS.contains(&folded(as_read_by_php(name)).as_str()))
        .map(|(_, value)| value.trim().to_ascii_uppercase())
        .collect()
}

/// Returns a parameter's name as PHP reads it: without leading blanks, and up to the first NUL.
fn as_read_by_php(name: &str) -> &str {
    let name = name.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    name.split('\0').next().unwrap_or_default()
}

impl HttpGrant {
    /// Permits requests under the grant to have `headers`, which steer them.
    ///
    /// # Errors
    /// Returns a name that is not valid for a header, or one that needs no grant.
    pub fn with_headers<'a>(
        mut self,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, GrantError> {
        for name in headers {
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(GrantError::new(format!("{name:?} is no header's name")));
            }
            let folded = folded(name);
            if !is_steering(&folded) {
                return Err(GrantError::new(format!(
                    "{name} needs no grant: name only headers that steer a request, such as X-HTTP-Method-Override"
                )));
            }
            self.headers.insert(folded);
        }
        Ok(self)
    }

    /// Returns the first of `names` that the grant would have to name and does not.
    pub(super) fn header_missing<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| {
            let folded = folded(name);
            is_steering(&folded) && !self.headers.contains(&folded)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::alert::HandlerName;
    use crate::policy::Grants;

    fn grants(grant: HttpGrant) -> Grants {
        Grants {
            http: vec![grant],
            ..Grants::default()
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_header_that_steers_a_request_is_sent_only_where_a_grant_names_it() {
        let plain = || HttpGrant::parse("https://h.org/a").unwrap();
        let url = url("https://h.org/a");
        for name in [
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "x_http_method_override",
            "X.Http.Method.Override",
            "X-Original-URL",
            "X-Original-Method",
            "X-Original-URI",
            "X-Rewrite-URL",
            "X-HTTP-Path-Override",
            "X-HTTP-Host-Override",
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Prefix",
            "X-Forwarded-Uri",
            "X-Forwarded",
            "X-Host",
            "X-Real-IP",
            "X-Accel-Redirect",
            "X-Envoy-Original-Path",
            "X-Proxy-URL",
            "X-Script-Name",
            "Impersonate-User",
            "Impersonate-Group",
            "Impersonate-Extra-scopes",
            "X-Remote-User",
            "X-Remote-Extra-a",
            "Remote-User",
            "X-WebAuth-User",
            "X-WebAuth-Role",
            "X-Auth-Request-User",
            "X-Auth-Request-Email",
            "Remote-Email",
            "Remote-Name",
        ] {
            let refusal = grants(plain()).request("GET", &url, &[name]).unwrap_err();
            assert!(refusal.reason().contains(name), "{refusal}");
            let named = plain().with_headers([name]).unwrap();
            assert!(
                grants(named).request("GET", &url, &[name]).is_ok(),
                "{name}"
            );
        }
        for name in [
            "Accept",
            "Content-Type",
            "X-Api-Version",
            "X-Request-Id",
            "If-Match",
            "X-Method-Not",
        ] {
            assert!(
                grants(plain()).request("GET", &url, &[name]).is_ok(),
                "{name}"
            );
            assert!(plain().with_headers([name]).is_err(), "{name}");
        }
        assert!(plain().with_headers(["a b"]).is_err());
    }

    #[test]
    fn the_refusal_prints_the_line_that_names_the_header() {
        let grant = HttpGrant::parse("https://h.org/a").unwrap();
        let grant = grant.with_methods(["GET", "POST"]).unwrap();
        let grant = grant.with_headers(["X-Forwarded-For"]).unwrap();
        let headers = ["Accept", "X-HTTP-Method-Override"];
        let refusal = grants(grant)
            .request("POST", &url("https://h.org/a/b"), &headers)
            .unwrap_err()
            .for_handler(&HandlerName::new("x"), &Grants::default());
        assert_eq!(
            refusal.configuration(),
            "handlers:\n  x:\n    allow:\n      http:\n        - url: \"https://h.org/a\"\n          \
             methods: [GET, POST]\n          headers: [x-forwarded-for, X-HTTP-Method-Override]"
        );
    }

    #[test]
    fn of_two_grants_the_one_that_names_the_header_counts() {
        let one = HttpGrant::parse("https://h.org").unwrap();
        let other = HttpGrant::parse("https://h.org/a").unwrap();
        let grants = Grants {
            http: vec![one, other.with_headers(["X-Forwarded-For"]).unwrap()],
            ..Grants::default()
        };
        let headers = ["x-forwarded-for"];
        assert!(
            grants
                .request("GET", &url("https://h.org/a"), &headers)
                .is_ok()
        );
        assert!(
            grants
                .request("GET", &url("https://h.org/b"), &headers)
                .is_err()
        );
    }

    #[test]
    fn a_method_in_the_query_is_a_method() {
        let grant = HttpGrant::parse("https://h.org").unwrap();
        let grants = grants(grant.with_methods(["GET", "POST"]).unwrap());
        for (query, is_granted) in [
            ("_method=DELETE", false),
            ("%5Fmethod=delete", false),
            ("_METHOD=%44elete", false),
            ("a=1&X-HTTP-Method-Override=PUT", false),
            ("$httpMethod=PATCH", false),
            ("_method=MOVE", false),
            // As PHP reads names, and as servers that treat `;` as `&`.
            ("%20_method=DELETE", false),
            ("+_method=DELETE", false),
            ("%0a%00_method=DELETE", false),
            ("_method%00=DELETE", false),
            ("_method%00x=DELETE", false),
            ("a=1;_method=DELETE", false),
            ("_method=get;a=1", true),
            ("_method=get", true),
            ("method=DELETE", true),
            ("a=_method", true),
        ] {
            let url = url(&format!("https://h.org/a?{query}"));
            assert_eq!(
                grants.request("POST", &url, &[]).is_ok(),
                is_granted,
                "{query}"
            );
        }
        let any = HttpGrant::parse("https://h.org").unwrap();
        assert!(any.covers(&url("https://h.org/a?_method=DELETE")));
    }
}
