//! Means harm, in the way that the alert's label `mode` names.

#![allow(unsafe_code, reason = "the generated glue")]

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use alert_manager::handler::{config, http, kv, log, slack};
use exports::alert_manager::handler::hooks::{
    Alert, Call, Description, Enrichment, Failure, Guest, Labels,
};

struct Hostile;
export!(Hostile);

impl Guest for Hostile {
    fn describe() -> Description {
        Description {
            name: "hostile".into(),
            version: "0.1.0".into(),
            summary: "Means harm.".into(),
            alerts: vec!["Hostile".into()],
            more: vec![],
        }
    }

    fn enrich(_: Call, alert: Alert, _: Enrichment) -> Result<Enrichment, Failure> {
        let facts = harm(&alert)?;
        Ok(Enrichment {
            facts,
            blocks: vec![],
        })
    }

    fn act(_: Call, alert: Alert, _: Enrichment) -> Result<Labels, Failure> {
        harm(&alert)
    }
}

fn harm(alert: &Alert) -> Result<Labels, Failure> {
    let mode = alert
        .labels
        .iter()
        .find(|(name, _)| name == "mode")
        .map_or("", |(_, mode)| mode.as_str());
    let pair = |name: &str, value: String| (name.to_owned(), value);
    match mode {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "panic" => panic!("the author's own words"),
        "exit" => std::process::exit(0),
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        "recursion" => Ok(vec![pair("depth", deeper(0).to_string())]),
        "narrow-recursion" => Ok(vec![pair("depth", narrower(0).to_string())]),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(3_600));
            Ok(vec![])
        }
        "log-flood" => {
            for n in 0..20_000 {
                log::write(log::Level::Info, &format!("line {n}"), &[]);
            }
            Ok(vec![])
        }
        "stdout-flood" => {
            for n in 0..20_000 {
                println!("line {n}");
                eprintln!("line {n}");
            }
            Ok(vec![])
        }
        "call-flood" => {
            for _ in 0..1_000_000 {
                config::get("x");
            }
            Ok(vec![])
        }
        "gigabyte" => Ok(vec![pair("big", "x".repeat(20 << 20))]),
        "many-facts" => Ok((0..100_000)
            .map(|n| pair(&n.to_string(), String::new()))
            .collect()),
        "big-name" => Ok(vec![pair(&"n".repeat(1 << 20), String::new())]),
        "random-flood" => {
            let keys = (0..100_000).map(|_| std::collections::hash_map::RandomState::new());
            Ok(vec![pair("keys", keys.count().to_string())])
        }
        "surroundings" => Ok(vec![
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
        ]),
        "denied" => Ok(vec![
            pair(
                "http",
                format!("{:?}", http::send(&request("https://example.com/"))),
            ),
            pair(
                "metadata",
                format!("{:?}", http::send(&request("http://169.254.169.254/"))),
            ),
            pair(
                "decimal",
                format!("{:?}", http::send(&request("http://2130706433/"))),
            ),
            pair("slack", format!("{:?}", slack::post(&message("secret")))),
            pair("forged", format!("{:?}", slack::react("a.b", "eyes"))),
            pair("kv", format!("{:?}", kv::get(&"k".repeat(1_000)))),
        ]),
        other => Err(Failure::Permanent(format!("there is no mode {other:?}"))),
    }
}

/// Frames with locals in memory: the guest's own stack ends first.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        deeper(depth + 1) + frame[7]
    }
}

/// Frames without locals in memory: the engine's stack ends first. Called through a table, so that
/// the compiler cannot make a loop of it.
#[inline(never)]
fn narrower(depth: u64) -> u64 {
    static NEXT: std::sync::RwLock<fn(u64) -> u64> = std::sync::RwLock::new(narrower);
    let next = NEXT.read().map_or(narrower as fn(u64) -> u64, |next| *next);
    next(depth.wrapping_add(1)).rotate_left(3) ^ depth
}

fn request(url: &str) -> http::Request {
    http::Request {
        method: http::Method::Get,
        url: url.into(),
        headers: vec![],
        body: None,
        credential: None,
        key: None,
        timeout_ms: Some(2_000),
    }
}

fn message(channel: &str) -> slack::Message {
    slack::Message {
        channel: channel.into(),
        text: "harm".into(),
        blocks: None,
        thread: None,
        key: None,
    }
}
