//! Recognizes placeholders, which documentation and printed lines have in place of what the operator must fill in.

/// Names that no host has, in lower case.
const FILLERS: [&str; 9] = [
    "changeme",
    "example",
    "host",
    "hostname",
    "yourcompany",
    "yourdomain",
    "yourhost",
    "yourorg",
    "yourserver",
];

/// Returns the part of a URL or host that is a placeholder.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    if text.contains(['<', '>', '{', '}', '…']) {
        return Some(text);
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => host,
        _ => authority,
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let lower = host.to_ascii_lowercase();
    let mut labels = lower.split('.');
    let is_filler = FILLERS.contains(&lower.as_str())
        || labels.any(|label| label.starts_with("your-") || label.starts_with("your_"))
        || lower
            .split('.')
            .any(|label| label.starts_with("your") && FILLERS.contains(&label));
    let is_in_capitals = host.len() > 3
        && host.starts_with(|c: char| c.is_ascii_uppercase())
        && host
            .bytes()
            .all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-' | b'.'));
    (is_filler || is_in_capitals).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::placeholder;

    #[test]
    fn placeholders_are_recognized() {
        for (text, found) in [
            ("https://HOST", Some("HOST")),
            ("https://HOST:8443/x", Some("HOST")),
            ("https://example", Some("example")),
            ("HOST", Some("HOST")),
            ("https://<host>", Some("https://<host>")),
            (
                "https://YOUR-SERVER.example.com",
                Some("YOUR-SERVER.example.com"),
            ),
            ("https://your-domain.com", Some("your-domain.com")),
            ("https://yourdomain.com", Some("yourdomain.com")),
            ("https://${API}", Some("https://${API}")),
            ("https://kubernetes.default.svc", None),
            ("https://api.example.com", None),
            ("https://yourkit.com", None),
            ("https://DB01", None),
            ("http://[::1]:9999", None),
            ("http://10.0.0.1:8080", None),
            ("https://*.example.org", None),
        ] {
            assert_eq!(placeholder(text), found, "{text}");
        }
    }
}
