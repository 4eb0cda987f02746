//! The parts of a request's URL that grants are compared with.

use std::net::IpAddr;

use url::{Host, Url};

use super::address;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The parts of a request's URL that grants are compared with.
pub(super) struct Target<'a> {
    pub(super) scheme: Scheme,
    pub(super) host: TargetHost<'a>,
    pub(super) port: u16,
    pub(super) path: &'a str,
}

pub(super) enum TargetHost<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl<'a> Target<'a> {
    pub(super) fn of(url: &'a Url) -> Result<Self, String> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("The scheme is http or https, not {other:?}.")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "A URL with a user or password is not sent: name a credential instead.".into(),
            );
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if is_name(name) => {
                TargetHost::Name(name.strip_suffix('.').unwrap_or(name))
            }
            Some(Host::Ipv4(v4)) => TargetHost::Address(v4.into()),
            Some(Host::Ipv6(v6)) => TargetHost::Address(address::canonical(v6.into())),
            _ => return Err("The URL has no host that a name or an address could be.".into()),
        };
        Ok(Self {
            scheme,
            host,
            port: url.port().unwrap_or(scheme.port()),
            path: url.path(),
        })
    }
}

/// Returns whether a host is a valid DNS name. URLs allow more characters (`'`, `*`, `;`), which a proxy may interpret
/// differently.
fn is_name(name: &str) -> bool {
    let is_label = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    !name.trim_end_matches('.').is_empty() && name.bytes().all(is_label)
}

/// Returns whether `path` is `prefix` or below it for every way in which a server may interpret it: it may decode the path
/// once more, treat a backslash as a slash, or cut a segment at a `;`.
pub(super) fn path_is_below(path: &str, prefix: &str) -> bool {
    if prefix == "/" {
        return true;
    }
    let stem = prefix.trim_end_matches('/');
    path.strip_prefix(stem)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        && !has_hidden_steps(path.as_bytes())
}

/// How often a path is decoded at most; a path that is still encoded then is refused.
const DECODINGS_MAX: usize = 4;

/// Returns whether a segment may be interpreted as a step upwards, or contains characters used only to disguise one.
fn has_hidden_steps(path: &[u8]) -> bool {
    let mut path = path.to_vec();
    for _ in 0..DECODINGS_MAX {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
        if segments.any(is_step_upwards)
            || is_overlong(&path)
            || has_lookalikes(&path)
            || has_wide_escapes(&path)
        {
            return true;
        }
        let decoded = percent_decoded(&path);
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    true
}

/// Returns whether a segment is `..` or a variant that some servers treat like it: with parameters (`..;x`, `..?x`), or
/// with bytes that they skip.
fn is_step_upwards(segment: &[u8]) -> bool {
    // A server that decodes and parses the path again takes what follows for a query.
    let ends = |byte: &u8| matches!(byte, b';' | b'?' | b'#');
    let name = segment.split(ends).next();
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    let is_skipped = |c: char| c.is_control() || c.is_whitespace() || INVISIBLE.contains(&c);
    name.chars().filter(|c| !is_skipped(*c)).eq(['.', '.'])
}

/// Invisible characters, which some servers drop.
const INVISIBLE: [char; 8] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}',
];

/// Returns whether the path contains overlong UTF-8, which is invalid but accepted by some decoders: characters encoded in
/// more bytes than they need.
fn is_overlong(path: &[u8]) -> bool {
    let starts = |pair: &[u8]| {
        matches!(
            pair,
            [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f] | [0xf8, 0x80..=0x87] | [0xfc, 0x80..=0x83]
        )
    };
    path.iter().any(|byte| matches!(byte, 0xc0 | 0xc1)) || path.windows(2).any(starts)
}

/// Characters that servers which normalize a path (NFKC, Windows' best fit) turn into `.`, `/`, `\`, `%` or `;`, alone or
/// with others.
const LOOKALIKES: [char; 22] = [
    '\u{2024}', // one dot leader
    '\u{2025}', // two dot leader
    '\u{2026}', // horizontal ellipsis
    '\u{fe19}', // vertical ellipsis
    '\u{fe30}', // vertical two dot leader
    '\u{fe52}', // small full stop
    '\u{ff0e}', // fullwidth full stop
    '\u{ff61}', // halfwidth ideographic full stop
    '\u{3002}', // ideographic full stop
    '\u{2044}', // fraction slash
    '\u{2215}', // division slash
    '\u{29f8}', // big solidus
    '\u{ff0f}', // fullwidth solidus
    '\u{2216}', // set minus
    '\u{29f5}', // reverse solidus operator
    '\u{29f9}', // big reverse solidus
    '\u{fe68}', // small reverse solidus
    '\u{ff3c}', // fullwidth reverse solidus
    '\u{fe6a}', // small percent sign
    '\u{ff05}', // fullwidth percent sign
    '\u{fe54}', // small semicolon
    '\u{ff1b}', // fullwidth semicolon
];

fn has_lookalikes(path: &[u8]) -> bool {
    // Most paths are ASCII.
    !path.is_ascii() && String::from_utf8_lossy(path).contains(LOOKALIKES)
}

/// Returns whether the path contains an escape like `%u002e`, which is not valid in a URL but decoded by IIS.
fn has_wide_escapes(path: &[u8]) -> bool {
    path.windows(6).any(|escape| match escape {
        [b'%', b'u' | b'U', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    })
}

fn percent_decoded(path: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let byte = match after {
            [high, low, ..] if *first == b'%' => digit(high)
                .zip(digit(low))
                .and_then(|(high, low)| u8::try_from(high << 4 | low).ok()),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => &after[2..],
            None => after,
        };
    }
    decoded
}
