//! Modes that try to reach what was not granted.

use super::alert_manager::handler::{config, http, kv, slack};
use super::{Harm, pair};

pub(super) fn harm(mode: &str, url: &str) -> Option<Harm> {
    let send = |headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(n, v)| pair(n, *v)).collect();
        format!("{:?}", http::send(&request(url, headers)))
    };
    let facts = match mode {
        "surroundings" => vec![
            pair("args", std::env::args().count().to_string()),
            pair("vars", std::env::vars().count().to_string()),
            pair("files", std::fs::read_dir("/").is_ok().to_string()),
            pair("write", std::fs::write("/x", "y").is_ok().to_string()),
            pair(
                "socket",
                std::net::TcpStream::connect("127.0.0.1:80")
                    .is_ok()
                    .to_string(),
            ),
            pair(
                "stdin",
                std::io::read_to_string(std::io::stdin()).unwrap_or_default(),
            ),
        ],
        "sockets" => {
            let listens = std::net::TcpListener::bind("0.0.0.0:0").is_ok();
            let sends = std::net::UdpSocket::bind("0.0.0.0:0").is_ok();
            let resolves = std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok();
            vec![pair("sockets", format!("{listens} {sends} {resolves}"))]
        }
        "denied" => vec![
            pair("http", get("https://example.com/")),
            pair("metadata", get("http://169.254.169.254/")),
            pair("decimal", get("http://2130706433/")),
            pair(
                "slack",
                format!("{:?}", slack::post(&message("secret", "harm"))),
            ),
            pair("forged", format!("{:?}", slack::react("a.b", "eyes"))),
            pair("kv", format!("{:?}", kv::get(&"k".repeat(1_000)))),
        ],
        "header-injection" => vec![
            pair("value", send(&[("x-a", "b\r\nx-injected: yes")])),
            pair("newline", send(&[("x-a", "b\nx-injected: yes")])),
            pair("name", send(&[("x-a: b\r\nx-injected", "yes")])),
            pair("nul", send(&[("x-a", "b\0c")])),
        ],
        "header-smuggling" => vec![
            pair("host", send(&[("Host", "evil.example")])),
            pair("length", send(&[("content-length", "0")])),
            pair("chunks", send(&[("Transfer-Encoding", "chunked")])),
            pair(
                "upgrade",
                send(&[("connection", "upgrade"), ("upgrade", "h2c")]),
            ),
            pair("proxy", send(&[("Proxy-Authorization", "Basic eDp5")])),
        ],
        "header-flood" => {
            let many: Vec<_> = (0..5_000).map(|n| pair(&format!("x-{n}"), "v")).collect();
            let big = vec![pair("x-big", "v".repeat(1 << 20))];
            vec![
                pair("many", format!("{:?}", http::send(&request(url, many)))),
                pair("big", format!("{:?}", http::send(&request(url, big)))),
            ]
        }
        "long-url" => vec![pair(
            "url",
            cut(&get(&format!("{url}/{}", "u".repeat(1 << 20)))),
        )],
        "big-request" => vec![pair(
            "body",
            cut(&format!(
                "{:?}",
                http::send(&http::Request {
                    method: http::Method::Post,
                    body: Some(vec![b'b'; 7 << 20]),
                    ..request(url, vec![])
                })
            )),
        )],
        "request-flood" => {
            let refused = (0..200).find_map(|_| http::send(&request(url, vec![])).err());
            vec![pair("refused", format!("{refused:?}"))]
        }
        "response-flood" => {
            let refused = (0..20).find_map(|_| match http::send(&request(url, vec![])) {
                Err(error @ http::Error::BudgetExhausted(_)) => Some(error),
                _ => None,
            });
            vec![pair("refused", format!("{refused:?}"))]
        }
        "endless-timeout" => vec![pair(
            "answer",
            cut(&format!(
                "{:?}",
                http::send(&http::Request {
                    timeout_ms: Some(u32::MAX),
                    ..request(url, vec![])
                })
            )),
        )],
        "big-key" => vec![pair(
            "answer",
            cut(&format!(
                "{:?}",
                http::send(&http::Request {
                    method: http::Method::Post,
                    key: Some("k".repeat(1 << 20)),
                    ..request(url, vec![])
                })
            )),
        )],
        "slack-flood" => {
            let refused =
                (0..100).find_map(|n| slack::post(&message("alerts", &n.to_string())).err());
            vec![pair("refused", format!("{refused:?}"))]
        }
        "slack-megabyte" => vec![pair(
            "text",
            format!(
                "{:?}",
                slack::post(&message("alerts", &"t".repeat(1 << 20))).is_ok()
            ),
        )],
        "slack-deep-blocks" => vec![pair(
            "blocks",
            cut(&format!(
                "{:?}",
                slack::post(&slack::Message {
                    blocks: Some("[".repeat(1 << 20)),
                    ..message("alerts", "deep")
                })
            )),
        )],
        _ => return None,
    };
    Some(Ok((facts, vec![])))
}

/// Returns everything that can be asked of a host, on one line.
pub(super) fn everything() -> String {
    format!(
        "{:?} {:?} {:?} {:?}",
        http::send(&request("https://example.com/", vec![])).is_ok(),
        slack::post(&message("alerts", "from describe")).is_ok(),
        kv::set("from", b"describe", None).is_ok(),
        config::get("channel").is_some(),
    )
}

fn get(url: &str) -> String {
    format!("{:?}", http::send(&request(url, vec![])))
}

/// Cuts text to less than the limit of a fact's value, which these modes do not test.
fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}

fn request(url: &str, headers: Vec<(String, String)>) -> http::Request {
    http::Request {
        method: http::Method::Get,
        url: url.into(),
        headers,
        body: None,
        credential: None,
        key: None,
        timeout_ms: Some(2_000),
    }
}

fn message(channel: &str, text: &str) -> slack::Message {
    slack::Message {
        channel: channel.into(),
        text: text.into(),
        blocks: None,
        thread: None,
        key: None,
    }
}
