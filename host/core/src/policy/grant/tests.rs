//! Tables of what a grant covers.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::alert::HandlerName;
use crate::policy::Grants;

fn grant(text: &str) -> HttpGrant {
    HttpGrant::parse(text).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

#[test]
fn a_grant_covers_its_origin_and_nothing_beside_it() {
    let cases = [
        (
            "https://api.github.com",
            "https://api.github.com/repos?x=1",
            true,
        ),
        ("https://api.github.com", "https://API.GitHub.com./", true),
        (
            "https://api.github.com",
            "https://api.github.com:443/",
            true,
        ),
        ("https://api.github.com", "http://api.github.com/", false),
        (
            "https://api.github.com",
            "https://api.github.com:8443/",
            false,
        ),
        (
            "https://api.github.com",
            "https://api.github.com.evil.org/",
            false,
        ),
        (
            "https://api.github.com",
            "https://evil.org/api.github.com",
            false,
        ),
        (
            "https://api.github.com",
            "https://api.github.com@evil.org/",
            false,
        ),
        (
            "https://api.github.com",
            "https://user:pw@api.github.com/",
            false,
        ),
        ("https://api.github.com", "ftp://api.github.com/", false),
        ("https://API.github.com.", "https://api.github.com/", true),
        ("https://*.example.com", "https://a.example.com/", true),
        ("https://*.example.com", "https://a.b.example.com/", true),
        ("https://*.example.com", "https://example.com/", false),
        ("https://*.example.com", "https://badexample.com/", false),
        ("https://*.example.com", "https://.example.com/", false),
        ("https://*.0.0.1.example", "https://127.0.0.1/", false),
        (
            "https://bücher.example",
            "https://xn--bcher-kva.example/",
            true,
        ),
        ("http://host:8000-8999", "http://host:8000/", true),
        ("http://host:8000-8999", "http://host:8999/", true),
        ("http://host:8000-8999", "http://host:9000/", false),
        ("http://host:8000-8999", "http://host/", false),
        ("http://127.0.0.1:9999", "http://127.0.0.1:9999/x", true),
        ("http://127.0.0.1:9999", "http://2130706433:9999/x", true),
        ("http://127.0.0.1:9999", "http://0x7f.1:9999/x", true),
        ("http://127.0.0.1:9999", "http://0177.0.0.1:9999/x", true),
        (
            "http://127.0.0.1:9999",
            "http://[::ffff:127.0.0.1]:9999/x",
            true,
        ),
        ("http://127.0.0.1:9999", "http://127.0.0.2:9999/x", false),
        ("http://127.0.0.1:9999", "http://localhost:9999/x", false),
        ("http://[::1]:9999", "http://[0:0:0:0:0:0:0:1]:9999/", true),
        ("https://h.org/api/v1", "https://h.org/api/v1", true),
        ("https://h.org/api/v1/", "https://h.org/api/v1", true),
        (
            "https://h.org/api/v1",
            "https://h.org/api/v1/pods?a=b",
            true,
        ),
        ("https://h.org/api/v1", "https://h.org/api/v10", false),
        (
            "https://h.org/api/v1",
            "https://h.org/api/v1/../secret",
            false,
        ),
        (
            "https://h.org/api/v1",
            "https://h.org/api/v1/%2e%2e/secret",
            false,
        ),
        (
            "https://h.org/api/v1",
            "https://h.org/api/v1/x%2f..%2f..%2f..%2fsecret",
            false,
        ),
        (
            "https://h.org/api/v1",
            "https://h.org/api/v1/..;/secret",
            false,
        ),
        (
            "https://h.org/api/v4",
            "https://h.org/api/v4/projects/group%2Fname",
            true,
        ),
        ("https://h.org/a", "https://h.org//a", false),
        ("https://h.org/a", "https://h.org/A", false),
        ("https://h.org/a", "https://h.org/%61", false),
        ("https://h.org/a", "https://h.org/a//../../b", false),
        ("https://h.org/a", "https://h.org/a/..%2fb", false),
        ("https://h.org/a", "https://h.org/a/..%5cb", false),
        ("https://h.org/a", "https://h.org/a\\..\\b", false),
        ("https://h.org/a", "https://h.org/a/..%3bx/b", false),
        ("https://h.org/a", "https://h.org/a/..%00/b", false),
        ("https://h.org/a", "https://h.org/a/.%09./b", false),
        ("https://h.org/a", "https://h.org/a/%252e%252e/b", false),
        ("https://h.org/a", "https://h.org/a/%25252e%25252e/b", false),
        ("https://h.org/a", "https://h.org/a/%c0%ae%c0%ae/b", false),
        (
            "https://h.org/a",
            "https://h.org/a/%e0%80%ae%e0%80%ae/b",
            false,
        ),
        (
            "https://h.org/a",
            "https://h.org/a/%25e0%2580%25ae/b",
            false,
        ),
        ("https://h.org/a", "https://h.org/a/%f0%80%80%ae/b", false),
        ("https://h.org/a", "https://h.org/a/．．/b", false),
        (
            "https://h.org/a",
            "https://h.org/a/%ef%bc%8e%ef%bc%8e/b",
            false,
        ),
        ("https://h.org/a", "https://h.org/a/%EF%BC%8Fb", false),
        ("https://h.org/a", "https://h.org/a/\u{2025}/b", false),
        ("https://h.org/a", "https://h.org/a/\u{ff3c}b", false),
        ("https://h.org/a", "https://h.org/a/%u002e%u002e/b", false),
        ("https://h.org/a", "https://h.org/a/%25u002Eb", false),
        ("https://h.org/a", "https://h.org/a/.%e2%80%8b./b", false),
        (
            "https://h.org/a",
            "https://h.org/a/%e0%a4%a8%F0%9F%98%80",
            true,
        ),
        ("https://h.org/a", "https://h.org/a/100%user", true),
        ("https://h.org/a", "https://h.org/a/x;v=1/..b/...", true),
        ("https://h.org/a", "https://h.org/a/100%25", true),
        ("https://h.org/a", "https://h.org/a/%zz%", true),
        ("https://h.org/a", "https://h.org/a/%C3%A9t%C3%A9", true),
        ("https://h.org", "https://h.org:0443/", true),
        ("https://h.org", "HTTPS://H%2eORG/", true),
        ("https://h.org", "https://h.org../", false),
        ("https://*.h.org", "https://'a.h.org/", false),
        ("https://*.h.org", "https://a;b.h.org/", false),
        ("https://*.h.org", "https://a_b-1.h.org/", true),
        ("https://*.example.com", "https://a.example.com../", false),
        ("https://*.Example.COM.", "https://A.eXample.com/", true),
        (
            "https://*.example.com",
            "https://example.com.evil.org/",
            false,
        ),
        ("https://*.example.com", "https://a.example.comx/", false),
        ("https://faß.example", "https://xn--fa-hia.example/", true),
        ("https://example.com", "https://ｅxample。com/", true),
        ("https://example.com", "https://еxample.com/", false),
    ];
    for (granted, asked, expected) in cases {
        let covered = grant(granted).covers(&url(asked));
        assert_eq!(covered, expected, "{granted} covers {asked}");
    }
}

#[test]
fn an_entry_that_cannot_be_read_says_what_to_write() {
    let cases = [
        ("api.github.com", "write the scheme too"),
        ("ftp://example.com", "http or https"),
        ("https://", "host"),
        ("https://*", "stands only at the front"),
        ("https://a.*.com", "stands only at the front"),
        ("https://*.127.0.0.1", "an address takes no *"),
        ("https://user@example.com", "use a credential"),
        ("https://example.com?x=1", "no query"),
        ("https://example.com:0", "no port"),
        ("https://example.com:9-8", "no port"),
        ("https://example.com:http", "no port"),
        ("https://exa mple.com", "cannot be read"),
    ];
    for (text, part) in cases {
        let error = HttpGrant::parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_grant_prints_as_it_is_read() {
    for text in [
        "https://api.github.com",
        "http://host:8080",
        "https://*.example.com:8000-8999/api/v1",
        "http://[::1]:9999",
        "http://127.0.0.1:9999/x",
    ] {
        assert_eq!(grant(text).to_string(), text);
    }
}

#[test]
fn private_addresses_pass_for_names_that_cannot_be_public_or_with_addresses() {
    let public = grant("https://example.com");
    let open = grant("https://example.com")
        .with_addresses(["private"])
        .unwrap();
    let narrow = grant("https://example.com")
        .with_addresses(["10.1.0.0/16", "fd00::5"])
        .unwrap();
    let cluster = grant("https://kubernetes.default.svc");
    let below = grant("https://*.internal");
    let literal = grant("http://127.0.0.1:9999");
    let machine = grant("http://localhost:9999");
    let metadata = grant("http://169.254.169.254");
    let cases = [
        (&public, "example.com", "93.184.216.34", true),
        (&public, "example.com", "10.1.2.3", false),
        (&public, "example.com", "::ffff:10.1.2.3", false),
        (&public, "example.com", "64:ff9b::a01:203", false),
        (&public, "example.com", "127.0.0.1", false),
        (&public, "example.com", "169.254.169.254", false),
        (&public, "example.com", "192.0.2.1", false),
        (&open, "example.com", "10.1.2.3", true),
        (&open, "example.com", "::ffff:10.1.2.3", true),
        (&open, "example.com", "fd00::1", true),
        (&open, "example.com", "fd00:ec2::254", false),
        (&open, "example.com", "127.0.0.1", false),
        (&narrow, "example.com", "10.1.2.3", true),
        (&narrow, "example.com", "::ffff:10.1.2.3", true),
        (&narrow, "example.com", "10.2.2.3", false),
        (&narrow, "example.com", "fd00::5", true),
        (&cluster, "kubernetes.default.svc", "10.96.0.1", true),
        (&cluster, "kubernetes.default.svc.", "10.96.0.1", true),
        (&cluster, "kubernetes.default.svc", "127.0.0.1", false),
        (&cluster, "kubernetes.default.svc", "169.254.169.254", false),
        (&below, "api.internal", "192.168.0.9", true),
        (&literal, "127.0.0.1", "127.0.0.1", true),
        (&literal, "::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
        (&literal, "127.0.0.1", "127.0.0.2", false),
        (&literal, "127.0.0.1", "64:ff9b::7f00:1", false),
        (&machine, "localhost", "127.0.0.1", false),
        (&machine, "localhost", "::1", false),
        (&metadata, "169.254.169.254", "169.254.169.254", true),
    ];
    for (grant, host, address, expected) in cases {
        let verdict = grant.permits_address(host, address.parse().unwrap());
        assert_eq!(verdict.is_ok(), expected, "{grant}: {host} at {address}");
    }
}

#[test]
fn a_range_cannot_open_loopback_or_metadata() {
    for range in ["127.0.0.0/8", "169.254.0.0/16", "::1", "169.254.169.254/32"] {
        let error = grant("https://h.org").with_addresses([range]).unwrap_err();
        assert!(error.to_string().contains("the very address"), "{error}");
    }
    let error = grant("https://h.org")
        .with_addresses(["10.0.0"])
        .unwrap_err();
    assert!(error.to_string().contains("such as 10.0.0.0/8"), "{error}");
    // A range that contains all addresses permits only what ranges can permit.
    let all = grant("https://h.org")
        .with_addresses(["0.0.0.0/0"])
        .unwrap();
    assert!(
        all.permits_address("h.org", "10.0.0.1".parse().unwrap())
            .is_ok()
    );
    assert!(
        all.permits_address("h.org", "127.0.0.1".parse().unwrap())
            .is_err()
    );
}

#[test]
fn a_refused_request_prints_the_grant_that_would_allow_it() {
    let name = HandlerName::new("pager");
    let grants = |grants: Vec<HttpGrant>| Grants {
        http: grants,
        ..Grants::default()
    };
    let lines = |entry: &str| format!("handlers:\n  pager:\n    allow:\n      {entry}");
    let cases = [
        (
            grants(Vec::new()),
            "https://api.example.com/v1?token=x",
            "No HTTP is granted, so POST to https://api.example.com is not sent.",
            lines("http: [\"https://api.example.com\"]"),
        ),
        (
            grants(vec![grant("https://other.org")]),
            "http://api.example.com:8080/",
            "POST to http://api.example.com:8080 is not granted; these are: https://other.org.",
            lines("http: [\"http://api.example.com:8080\"]"),
        ),
        (
            grants(vec![grant("https://h.org/api")]),
            "https://h.org/admin",
            "POST to https://h.org/admin is not granted; these are: https://h.org/api.",
            lines("http: [\"https://h.org\"]"),
        ),
        (
            grants(vec![grant("https://h.org").with_methods(["get"]).unwrap()]),
            "https://h.org/",
            "POST to https://h.org is not granted; GET is.",
            lines("http:\n        - url: \"https://h.org\"\n          methods: [GET, POST]"),
        ),
        (
            grants(vec![grant("https://h.org")]),
            "https://me:pw@h.org/",
            "A URL with a user or password is not sent: name a credential instead.",
            String::new(),
        ),
    ];
    for (grants, asked, reason, configuration) in cases {
        let refusal = grants.http("POST", &url(asked)).unwrap_err();
        let refusal = refusal.for_handler(&name, &Grants::default());
        assert_eq!(refusal.reason(), reason);
        assert_eq!(refusal.configuration(), configuration);
    }
}

#[test]
fn a_refused_address_prints_the_grant_that_would_allow_it() {
    let refused = |grant: &HttpGrant, host: &str, address: &str| {
        grant
            .permits_address(host, address.parse().unwrap())
            .unwrap_err()
            .for_handler(&HandlerName::new("pager"), &Grants::default())
            .to_string()
    };
    assert_eq!(
        refused(&grant("https://*.example.com"), "a.example.com", "10.0.0.7"),
        "a.example.com leads to 10.0.0.7, a private address, which this grant does not open. \
         To allow it, add addresses: [\"10.0.0.7/32\"] to https://*.example.com in handlers.pager.allow.http.\n\
         handlers:\n  pager:\n    allow:\n      http:\n        - url: \"https://*.example.com\"\n          \
         addresses: [\"10.0.0.7/32\"]"
    );
    assert_eq!(
        refused(&grant("http://localhost:9999"), "localhost", "127.0.0.1"),
        "localhost leads to 127.0.0.1, this machine's own loopback: only a grant of that very address \
         opens it. To allow it, add http://127.0.0.1:9999 to handlers.pager.allow.http.\n\
         handlers:\n  pager:\n    allow:\n      http: [\"http://127.0.0.1:9999\"]"
    );
}

#[test]
fn methods_narrow_a_grant_and_the_first_that_fits_is_taken() {
    let grants = Grants {
        http: vec![
            grant("https://h.org")
                .with_methods(["GET", "head"])
                .unwrap(),
            grant("https://h.org/hooks").with_methods(["POST"]).unwrap(),
        ],
        ..Grants::default()
    };
    assert!(grants.http("get", &url("https://h.org/x")).is_ok());
    assert!(grants.http("POST", &url("https://h.org/hooks/1")).is_ok());
    assert!(grants.http("POST", &url("https://h.org/x")).is_err());
    assert!(grant("https://h.org").with_methods(["BREW"]).is_err());
}

#[test]
fn a_step_upwards_may_end_in_what_begins_a_query() {
    let grant = HttpGrant::parse("https://h.org/granted").unwrap();
    for path in ["..%3fx", "..%23x", "..%253fx", "a/..%3f/b"] {
        let url = Url::parse(&format!("https://h.org/granted/{path}")).unwrap();
        assert!(!grant.covers(&url), "{path}");
    }
    let url = Url::parse("https://h.org/granted/a%3fx/b..%23").unwrap();
    assert!(grant.covers(&url));
}
