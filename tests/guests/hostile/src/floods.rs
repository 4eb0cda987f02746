//! Modes that call the host or write output without end.

use super::alert_manager::handler::{config, kv, log};
use super::{Harm, pair};

pub(super) fn harm(mode: &str) -> Option<Harm> {
    let mut facts = vec![];
    match mode {
        "log-flood" => {
            for n in 0..20_000 {
                log::write(log::Level::Info, &format!("line {n}"), &[]);
            }
        }
        "log-megabyte" => {
            for _ in 0..3 {
                log::write(log::Level::Error, &"m".repeat(1 << 20), &[]);
            }
        }
        "log-fields" => {
            let fields: Vec<_> = (0..50_000).map(|n| pair(&n.to_string(), "x")).collect();
            log::write(log::Level::Warn, "many fields", &fields);
        }
        "log-control" => log::write(
            log::Level::Warn,
            "\x1b[2J\x1b]0;owned\x07\r\nlevel=error msg=\"forged\" \u{202e}txet",
            &[pair("a\nb", "c\x1b[31m")],
        ),
        "stdout-flood" => {
            for n in 0..20_000 {
                println!("line {n}");
                eprintln!("line {n}");
            }
        }
        "stdout-without-line" => {
            let part = "p".repeat(1 << 20);
            for _ in 0..50 {
                print!("{part}");
                eprint!("{part}");
            }
        }
        "call-flood" => {
            for _ in 0..1_000_000 {
                config::get("x");
            }
        }
        "kv-flood" => {
            let refused = (0..2_000).find_map(|n| kv::get(&format!("k{n}")).err());
            facts.push(pair("refused", format!("{refused:?}")));
        }
        "kv-big-value" => {
            facts.push(pair(
                "refused",
                format!("{:?}", kv::set("k", &vec![b'v'; 3 << 20], None)),
            ));
        }
        "kv-big-key" => {
            facts.push(pair(
                "refused",
                format!("{:?}", kv::set(&"k".repeat(1 << 20), b"v", None)),
            ));
        }
        "kv-quota" => {
            let value = vec![b'v'; 60 << 10];
            let refused = (0..400).find_map(|n| kv::set(&format!("k{n}"), &value, None).err());
            facts.push(pair("refused", format!("{refused:?}")));
        }
        "kv-keys" => {
            let refused = (0..20).find_map(|n| kv::set(&format!("k{n}"), b"v", None).err());
            facts.push(pair("refused", format!("{refused:?}")));
        }
        "random-flood" => {
            let keys = (0..100_000).map(|_| std::collections::hash_map::RandomState::new());
            facts.push(pair("keys", keys.count().to_string()));
        }
        _ => return None,
    }
    Some(Ok((facts, vec![])))
}
