//! Hostile servers, and guests that send requests that are not granted.

use super::case::{Case, guest, script};

pub(crate) fn cases() -> Vec<Case> {
    [bodies(), heads(), spellings(), requests()]
        .into_iter()
        .flatten()
        .collect()
}

fn bodies() -> Vec<Case> {
    vec![
        script("a-response-of-a-gigabyte", "get {wire}/gigabyte")
            .tells(["TooLarge(8388608)", "a body over 8388608 bytes"])
            .meets("response_bytes"),
        script("a-body-that-never-ends", "get {wire}/endless")
            .tells(["TooLarge(8388608)"])
            .meets("response_bytes"),
        script("a-drip", "get-within 3000 {wire}/drip")
            .tells(["Error::Timeout"])
            .outlasts(),
        script("a-gzip-bomb", "get {wire}/bomb").tells(["200, 262164 bytes"]),
        script("a-peer-that-says-nothing", "get-within 3000 {wire}/silence")
            .tells(["Error::Timeout", "no answer in time"])
            .outlasts(),
        guest("a-peer-that-outlasts-its-guest", "endless-timeout")
            .at("{wire}/silence")
            .dies()
            .within("wall: 3s")
            .tells(["wall:", "3s"])
            .meets("wall")
            .outlasts(),
        script("a-body-cut-short", "get {wire}/short").tells(["Unreachable"]),
        script(
            "a-chunk-larger-than-numbers",
            "get-within 2000 {wire}/huge-chunk",
        )
        .tells(["Unreachable"]),
        guest("more-responses-than-a-step-reads", "response-flood")
            .at("{wire}/bomb")
            .within("cpu: 10s, wall: 30s, bytes_in: 600KiB")
            .tells(["bytes (bytes_in)", "bytes_in: the host calls of this step"])
            .meets("bytes_in"),
    ]
}

fn heads() -> Vec<Case> {
    vec![
        script("a-head-that-drips", "get-within 3000 {wire}/drip-head")
            .tells(["Error::Timeout"])
            .outlasts(),
        script("headers-without-end", "get-within 2000 {wire}/headers").tells(["Unreachable"]),
        script("a-header-without-end", "get-within 2000 {wire}/big-header").tells(["Unreachable"]),
        script("continue-without-end", "get-within 3000 {wire}/continue")
            .tells(["Error::Timeout"])
            .outlasts(),
        script("no-http-at-all", "get {wire}/garbage").tells(["Unreachable"]),
        script("a-peer-that-hangs-up", "get {wire}/close").tells(["Unreachable"]),
        script("two-lengths-for-one-body", "get-within 2000 {wire}/lengths").tells(["Unreachable"]),
        script("a-switch-of-protocols", "get-within 3000 {wire}/upgrade").tells(["101, 0 bytes"]),
        script(
            "a-redirect-to-this-machine",
            "get {wire}/redirect/http://127.0.0.1:{forbidden_port}/stolen",
        )
        .tells(["307, 0 bytes"]),
        script(
            "a-redirect-to-the-metadata",
            "get {wire}/redirect/http://169.254.169.254/latest/meta-data/",
        )
        .tells(["307, 0 bytes"]),
    ]
}

/// Every notation of an address that is not granted, or that only an explicit grant allows.
fn spellings() -> Vec<Case> {
    // The grants that a careless operator might give: names, any of which may lead anywhere.
    const CARELESS: &str =
        "http: [\"http://localhost:1-65535\", \"http://*.localhost:1-65535\", \"{sink}\"]";
    let denied = |name, url: &str| {
        script(name, format!("get {url}"))
            .on("spellings")
            .allows(CARELESS)
            .tells(["Denied", "denied: "])
            .hides("200 ")
    };
    let invalid = |name, url: &str| {
        script(name, format!("get {url}"))
            .on("spellings")
            .allows(CARELESS)
            .tells(["InvalidRequest"])
            .hides("200 ")
    };
    vec![
        denied("address-of-loopback", "http://127.0.0.1:{forbidden_port}/"),
        denied("address-in-decimal", "http://2130706433:{forbidden_port}/"),
        denied("address-in-octal", "http://0177.0.0.1:{forbidden_port}/"),
        denied("address-in-hex", "http://0x7f.0.0.1:{forbidden_port}/"),
        denied(
            "address-in-hex-at-once",
            "http://0x7f000001:{forbidden_port}/",
        ),
        denied("address-cut-short", "http://127.1:{forbidden_port}/"),
        denied("address-with-a-dot", "http://127.0.0.1.:{forbidden_port}/"),
        denied("address-of-nothing", "http://0.0.0.0:{forbidden_port}/"),
        denied("address-of-zero", "http://0:{forbidden_port}/"),
        denied(
            "address-in-full-width",
            "http://１２７.０.０.１:{forbidden_port}/",
        ),
        denied("address-in-circles", "http://①②⑦.0.0.1:{forbidden_port}/"),
        denied(
            "address-with-other-dots",
            "http://127。0。0。1:{forbidden_port}/",
        ),
        denied(
            "address-escaped",
            "http://%31%32%37.0.0.1:{forbidden_port}/",
        ),
        denied("address-six", "http://[::1]:{forbidden_port}/"),
        denied("address-six-of-nothing", "http://[::]:{forbidden_port}/"),
        denied(
            "address-four-in-six",
            "http://[::ffff:127.0.0.1]:{forbidden_port}/",
        ),
        denied(
            "address-four-in-six-in-hex",
            "http://[::ffff:7f00:1]:{forbidden_port}/",
        ),
        denied(
            "address-compatible",
            "http://[::127.0.0.1]:{forbidden_port}/",
        ),
        denied(
            "address-by-nat64",
            "http://[64:ff9b::7f00:1]:{forbidden_port}/",
        ),
        denied(
            "address-by-6to4",
            "http://[2002:7f00:1::]:{forbidden_port}/",
        ),
        denied(
            "address-of-metadata",
            "http://169.254.169.254/latest/meta-data/",
        ),
        denied("address-of-metadata-in-decimal", "http://2852039166/"),
        denied("address-of-metadata-in-six", "http://[fd00:ec2::254]/"),
        denied("address-of-the-wire", "http://169.254.1.1/"),
        denied("address-of-a-private-network", "http://10.0.0.1/"),
        denied(
            "address-behind-a-user",
            "http://localhost:1@127.0.0.1:{forbidden_port}/",
        ),
        denied(
            "address-behind-a-backslash",
            "http://localhost\\@127.0.0.1:{forbidden_port}/",
        ),
        denied(
            "a-user-before-the-host",
            "http://user:pass@localhost:{forbidden_port}/",
        ),
        // Granted by name: the address that it resolves to is checked when connecting.
        denied(
            "a-name-that-leads-here",
            "http://localhost:{forbidden_port}/",
        )
        .tells(["loopback"]),
        denied("a-name-in-capitals", "http://LOCALHOST:{forbidden_port}/").tells(["loopback"]),
        // Some resolvers know it, and some do not.
        script(
            "a-name-with-a-dot",
            "get http://localhost.:{forbidden_port}/",
        )
        .on("spellings")
        .allows(CARELESS)
        .tells(["loopback | no such name"])
        .hides("200 "),
        denied(
            "a-host-below-a-suffix",
            "http://169.254.169.254.localhost.evil/",
        ),
        denied("another-scheme", "ftp://localhost:{forbidden_port}/"),
        denied("a-file", "file:///etc/passwd"),
        denied(
            "tls-where-none-is-granted",
            "https://localhost:{forbidden_port}/",
        ),
        denied("a-port-that-is-not-granted", "http://127.0.0.1:1/"),
        denied("a-socket-of-this-machine", "unix:///var/run/docker.sock"),
        invalid("no-url-at-all", "//127.0.0.1/"),
        invalid(
            "a-host-with-a-zero-byte",
            "http://localhost%00.evil:{forbidden_port}/",
        ),
        invalid("an-address-that-overflows", "http://4294967296/"),
    ]
}

fn requests() -> Vec<Case> {
    vec![
        guest("headers-that-inject", "header-injection")
            .at("{sink}/injected")
            .tells(["holds a line break", "is no header's name"])
            .hides("Ok("),
        guest("headers-that-smuggle", "header-smuggling")
            .at("{sink}/smuggled")
            .tells(["is the host's to set"])
            .hides("Ok("),
        guest("headers-without-number", "header-flood")
            .at("{sink}/headers")
            .tells(["at most 100", "65536"])
            .hides("Ok("),
        guest("a-url-of-a-megabyte", "long-url")
            .at("{sink}")
            .tells(["url:", "at most 8192"]),
        guest("a-body-of-seven-megabytes", "big-request")
            .at("{sink}/body")
            .tells(["request_bytes: a body of 7340032 bytes, at most 4194304"]),
        guest("a-key-that-is-no-key", "big-key")
            .at("{sink}/key")
            .tells(["key:", "at most 256"]),
        script(
            "a-path-that-climbs-out",
            "get {sink}/granted/%2e%2e/secret\nget {sink}/granted/..%2fsecret",
        )
        .allows("http: [\"{sink}/granted\"]")
        .tells(["Denied"])
        .hides("200 "),
    ]
}
