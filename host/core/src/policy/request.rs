//! Finds the grant that covers a request, or reports what is missing.

use url::Url;

use super::grant::HttpGrant;
use super::refusal::{Change, Refusal};
use super::steering::methods_in_query;
use super::target::Target;

/// Returns the first grant that covers a request with headers of these names.
pub(super) fn judge<'a>(
    grants: &'a [HttpGrant],
    method: &str,
    url: &Url,
    headers: &[&str],
) -> Result<&'a HttpGrant, Refusal> {
    let target = Target::of(url).map_err(|why| Refusal::new(why, None))?;
    let mut methods = methods_in_query(url);
    methods.insert(0, method.to_ascii_uppercase());
    let mut other_methods = None;
    let mut other_headers = None;
    for grant in grants.iter().filter(|grant| grant.covers_target(&target)) {
        if let Some(method) = methods.iter().find(|method| !grant.has_method(method)) {
            other_methods.get_or_insert((grant, method));
        } else if let Some(name) = grant.header_missing(headers) {
            other_headers.get_or_insert((grant, name));
        } else {
            return Ok(grant);
        }
    }
    if let Some((grant, name)) = other_headers {
        return Err(Refusal::header(grant, name));
    }
    if let Some((grant, method)) = other_methods {
        return Err(Refusal::method(grant, method));
    }
    let origin = url.origin().ascii_serialization();
    let reason = match grants {
        [] => format!("No HTTP is granted, so {method} to {origin} is not sent."),
        _ => {
            let granted = grants.iter().map(HttpGrant::to_string).collect::<Vec<_>>();
            let granted = granted.join(", ");
            let at = if grants.iter().any(|grant| grant.covers_host(&target.host)) {
                format!("{origin}{}", target.path)
            } else {
                origin.clone()
            };
            let method = &methods[0];
            format!("{method} to {at} is not granted; these are: {granted}.")
        }
    };
    let change = HttpGrant::parse(&origin).ok().map(Change::AddHttp);
    Err(Refusal::new(reason, change))
}
