//! URLs against the egress policy. A URL that the policy allows is parsed again by a parser that shares no code with ours, and
//! must have the granted origin and a path below the granted one.

use std::net::IpAddr;

use alert_manager::policy::{Grants, HttpGrant};
use url::Url;

use super::engine::{Dice, corpus_lines, fuzz};

/// A grant, and what its author means by it.
struct Meant {
    text: &'static str,
    scheme: &'static str,
    /// A name, `.suffix`, or an address.
    host: &'static str,
    ports: (u16, u16),
    path: &'static str,
}

const GRANTS: [Meant; 7] = [
    Meant {
        text: "https://api.example.com",
        scheme: "https",
        host: "api.example.com",
        ports: (443, 443),
        path: "/",
    },
    Meant {
        text: "https://api.example.com/v1/hooks",
        scheme: "https",
        host: "api.example.com",
        ports: (443, 443),
        path: "/v1/hooks",
    },
    Meant {
        text: "http://*.example.com:8000-8999/a",
        scheme: "http",
        host: ".example.com",
        ports: (8000, 8999),
        path: "/a",
    },
    Meant {
        text: "http://127.0.0.1:9999",
        scheme: "http",
        host: "127.0.0.1",
        ports: (9999, 9999),
        path: "/",
    },
    Meant {
        text: "http://[::1]:9999/x",
        scheme: "http",
        host: "::1",
        ports: (9999, 9999),
        path: "/x",
    },
    Meant {
        text: "https://kubernetes.default.svc/api",
        scheme: "https",
        host: "kubernetes.default.svc",
        ports: (443, 443),
        path: "/api",
    },
    Meant {
        text: "https://bücher.example",
        scheme: "https",
        host: "xn--bcher-kva.example",
        ports: (443, 443),
        path: "/",
    },
];

const SCHEMES: [&str; 9] = [
    "https://",
    "http://",
    "HTTPS:\\\\",
    "https:/",
    "https:",
    "ftp://",
    "//",
    "http:////",
    "https:@//",
];

const HOSTS: [&str; 44] = [
    "api.example.com",
    "API.Example.COM.",
    "api.example.com..",
    "a.example.com",
    "example.com",
    ".example.com",
    "xexample.com",
    "api.example.com.evil.org",
    "evil.org",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0x0.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "0",
    "0.0.0.0",
    "[::]",
    "localhost",
    "localhost.",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:a9fe:a9fe]",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "bücher.example",
    "BÜCHER.example",
    "xn--bcher-kva.example",
    "kubernetes.default.svc",
    "kubernetes.default.svc.",
    "api%2eexample%2ecom",
    "api.example.com%00.evil.org",
    "api。example。com",
    "faß.example",
];

const AUTHORITIES: [&str; 6] = [
    "",
    "user@",
    "user:pass@",
    "api.example.com@",
    "api.example.com:443@",
    "@",
];

const PORTS: [&str; 10] = [
    "", ":443", ":80", ":9999", ":8000", ":8999", ":9000", ":0443", ":", ":99999",
];

const SEGMENTS: [&str; 46] = [
    "v1",
    "hooks",
    "a",
    "x",
    "api",
    "V1",
    "..",
    ".",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%25252e%252e",
    "..;",
    "..;x=1",
    "..%3b",
    "..%2f",
    "%2f..",
    "..%5c",
    "\\..\\",
    "..\\",
    "",
    "%00",
    "..%00",
    "%09..",
    ".\t.",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae.",
    "%25e0%2580%25ae.",
    "．．",
    "%ef%bc%8e.",
    "..%ef%bc%8f",
    "／..",
    "\u{2025}",
    "\u{fe52}\u{2024}",
    "..\u{2215}",
    "\u{ff3c}..",
    "%u002e%u002e",
    "%25u002e.",
    "..%u002f",
    ".%e2%80%8b.",
    "％2e％2e",
    "%61",
    "é",
    "secret",
];

fn spelled(dice: &mut Dice) -> String {
    let meant = dice.pick(&GRANTS);
    let scheme = match dice.one_in(2) {
        true => format!("{}://", meant.scheme),
        false => (*dice.pick(&SCHEMES)).to_owned(),
    };
    let user = if dice.one_in(6) {
        *dice.pick(&AUTHORITIES)
    } else {
        ""
    };
    let host = match dice.below(3) {
        0 if meant.host.starts_with('.') => format!("a{}", meant.host),
        0 if meant.host.contains(':') => format!("[{}]", meant.host),
        0 => meant.host.to_owned(),
        _ => (*dice.pick(&HOSTS)).to_owned(),
    };
    let port = match dice.below(3) {
        0 => format!(":{}", meant.ports.0),
        1 => String::new(),
        _ => (*dice.pick(&PORTS)).to_owned(),
    };
    let mut path = match dice.one_in(2) {
        true => meant.path.trim_end_matches('/').to_owned(),
        false => String::new(),
    };
    for _ in 0..dice.below(5) {
        path.push(if dice.one_in(12) { '\\' } else { '/' });
        path.push_str(dice.pick::<&str>(&SEGMENTS));
    }
    let query = if dice.one_in(4) { "?a=/../b#c" } else { "" };
    format!("{scheme}{user}{host}{port}{path}{query}")
}

/// A URL as it is sent, taken apart again.
struct Sent {
    scheme: String,
    host: String,
    port: u16,
    path: String,
}

fn taken_apart(url: &str) -> Sent {
    let (scheme, rest) = url.split_once("://").unwrap();
    let end = rest.find(['/', '?', '#']).unwrap();
    let (authority, path) = rest.split_at(end);
    assert!(
        !authority.contains(['@', '\\', '%', ' ', '\r', '\n', '\t', '\0']),
        "{url:?}"
    );
    assert!(
        url.is_ascii() && !url.contains(|c: char| c.is_ascii_control() || c == ' '),
        "{url:?}"
    );
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap()),
        _ => (authority, if scheme == "https" { 443 } else { 80 }),
    };
    Sent {
        scheme: scheme.to_owned(),
        host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port,
        path: path.split(['?', '#']).next().unwrap().to_owned(),
    }
}

/// As a server does that brings a path into a normal form: what looks like a mark is one.
fn normal(text: &str) -> String {
    let mut normal = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let wide = rest
            .strip_prefix("%u")
            .and_then(|after| after.get(..4))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        match (wide, first) {
            (Some(wide), _) => normal.push(wide),
            (_, '\u{200b}' | '\u{feff}' | '\u{ad}') => {}
            (_, '\u{2024}' | '\u{fe52}' | '\u{ff0e}') => normal.push('.'),
            (_, '\u{2025}' | '\u{fe30}') => normal.push_str(".."),
            (_, '\u{2044}' | '\u{2215}' | '\u{ff0f}') => normal.push('/'),
            (_, '\u{2216}' | '\u{fe68}' | '\u{ff3c}') => normal.push('\\'),
            (_, '\u{fe6a}' | '\u{ff05}') => normal.push('%'),
            (_, other) => normal.push(other),
        }
        rest = &rest[if wide.is_some() { 6 } else { first.len_utf8() }..];
    }
    normal
}

/// As a decoder does that does not look how many bytes a character takes.
fn overlong_read(bytes: &[u8]) -> Vec<u8> {
    let low = |byte: u8| byte & 0x3f;
    let mut read = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (byte, taken) = match (*first, after) {
            (0xc0 | 0xc1, [a, ..]) => ((first & 1) << 6 | low(*a), 2),
            (0xe0, [a @ 0x80..=0x81, b, ..]) => ((a & 1) << 6 | low(*b), 3),
            (0xf0, [0x80, b @ 0x80..=0x81, c, ..]) => ((b & 1) << 6 | low(*c), 4),
            _ => (*first, 1),
        };
        read.push(byte);
        rest = &rest[taken..];
    }
    read
}

/// The path as the most obliging of servers would read it: decoded until nothing changes, with either slash,
/// without parameters and control characters, its steps taken. None if it leads out of the root.
fn obliged(path: &str) -> Option<String> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let pair = bytes
                .get(at + 1..at + 3)
                .and_then(|pair| std::str::from_utf8(pair).ok());
            match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(byte) if bytes[at] == b'%' && !pair.unwrap().starts_with('+') => {
                    decoded.push(byte);
                    at += 3;
                }
                _ => {
                    decoded.push(bytes[at]);
                    at += 1;
                }
            }
        }
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = normal(&String::from_utf8_lossy(&overlong_read(&bytes)));
    if text != normal(&text) || text.contains("%2e") || text.contains("%2E") {
        return obliged(&text);
    }
    let text = text.replace('\\', "/");
    let mut steps = Vec::new();
    for segment in text.split('/') {
        let name: String = segment
            .split(';')
            .next()
            .unwrap()
            .chars()
            .filter(|c| !c.is_ascii_control() && *c != ' ')
            .collect();
        match name.as_str() {
            "" | "." => {}
            ".." => drop(steps.pop()?),
            _ => steps.push(name),
        }
    }
    Some(format!("/{}", steps.join("/")))
}

fn check(meant: &Meant, url: &Url) {
    let sent = taken_apart(url.as_str());
    let said = format!("{} let {url} pass", meant.text);
    assert_eq!(sent.scheme, meant.scheme, "{said}");
    assert!(
        (meant.ports.0..=meant.ports.1).contains(&sent.port),
        "{said}"
    );
    let host = sent.host.strip_suffix('.').unwrap_or(&sent.host);
    match (meant.host.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        (Ok(granted), Ok(asked)) => assert_eq!(asked.to_canonical(), granted, "{said}"),
        (Err(_), Err(_)) => {
            let is_name = host
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
            assert!(is_name, "{said}");
            match meant.host.strip_prefix('.') {
                Some(_) => {
                    let label = host
                        .strip_suffix(meant.host)
                        .unwrap_or_else(|| panic!("{said}"));
                    assert!(!label.is_empty() && !label.ends_with('.'), "{said}");
                }
                None => assert_eq!(host, meant.host, "{said}"),
            }
        }
        _ => panic!("{said}"),
    }
    if meant.path != "/" {
        let path = obliged(&sent.path).unwrap_or_else(|| panic!("{said}"));
        let rest = path
            .strip_prefix(meant.path)
            .unwrap_or_else(|| panic!("{said}: it is read as {path}"));
        assert!(
            rest.is_empty() || rest.starts_with('/'),
            "{said}: it is read as {path}"
        );
    }
}

#[test]
fn urls_that_pass_lead_to_what_was_granted() {
    let seeds = corpus_lines("urls");
    let mut passed = 0;
    fuzz("urls_that_pass", 15_000, |dice| {
        let text = match dice.below(8) {
            0 => dice.pick(&seeds).clone(),
            1 => {
                let seed = dice.pick(&seeds).clone();
                dice.mutate_text(&seed, &HOSTS)
            }
            2 => {
                let seed = spelled(dice);
                dice.mutate_text(&seed, &SEGMENTS)
            }
            _ => spelled(dice),
        };
        // As the host reads what a guest asks for.
        let Ok(url) = Url::parse(&text) else {
            return;
        };
        for meant in &GRANTS {
            let grants = Grants {
                http: vec![HttpGrant::parse(meant.text).unwrap()],
                ..Grants::default()
            };
            if grants.http("GET", &url).is_ok() {
                passed += 1;
                check(meant, &url);
            }
        }
    });
    println!("urls: {passed} passed");
    assert!(std::env::var("ALERT_MANAGER_FUZZ_RUN").is_ok() || passed > 100);
}

#[test]
fn urls_as_they_are_granted_pass() {
    for meant in &GRANTS {
        let grant = HttpGrant::parse(meant.text).unwrap();
        let host = match meant.host {
            suffix if suffix.starts_with('.') => format!("a{suffix}"),
            v6 if v6.contains(':') => format!("[{v6}]"),
            other => other.to_owned(),
        };
        for port in [meant.ports.0, meant.ports.1] {
            let url = format!("{}://{host}:{port}{}", meant.scheme, meant.path);
            assert!(grant.covers(&Url::parse(&url).unwrap()), "{url}");
        }
    }
}
