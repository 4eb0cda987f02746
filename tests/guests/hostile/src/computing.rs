//! Modes that never end, or end in a way that no hook may.

use std::time::{Duration, Instant};

use super::{Harm, pair};

pub(super) fn harm(mode: &str) -> Option<Harm> {
    Some(match mode {
        "loop" => loop {
            std::hint::black_box(0);
        },
        // As much as is allowed and no more, so that no limit is hit and no circuit breaker opens.
        "burn" | "burn-a-little" => {
            let mut n = 0u64;
            let times = if mode == "burn" {
                300_000_000
            } else {
                50_000_000
            };
            for _ in 0..times {
                n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
            }
            Ok((vec![pair("n", n.to_string())], vec![]))
        }
        "panic" => panic!("the author's own words"),
        "panic-with-megabyte" => panic!("{}", "w".repeat(1 << 20)),
        "exit" => std::process::exit(0),
        "exit-with-failure" => std::process::exit(7),
        "abort" => std::process::abort(),
        "recursion" => Ok((vec![pair("depth", deeper(0).to_string())], vec![])),
        "narrow-recursion" => Ok((vec![pair("depth", narrower(0).to_string())], vec![])),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3_600));
            Ok((vec![], vec![]))
        }
        "sleep-in-steps" => loop {
            std::thread::sleep(Duration::from_millis(1));
        },
        // Asks the host for the time, which is not recorded and which no limit of calls counts.
        "clock-flood" => loop {
            std::hint::black_box(Instant::now());
        },
        _ => return None,
    })
}

/// Recurses with locals in memory, so that the guest's own stack overflows first.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        deeper(depth + 1) + frame[7]
    }
}

/// Recurses without locals in memory, so that the engine's stack overflows first. Called through a table, so that the
/// compiler cannot turn it into a loop.
#[inline(never)]
fn narrower(depth: u64) -> u64 {
    static NEXT: std::sync::RwLock<fn(u64) -> u64> = std::sync::RwLock::new(narrower);
    let next = NEXT.read().map_or(narrower as fn(u64) -> u64, |next| *next);
    next(depth.wrapping_add(1)).rotate_left(3) ^ depth
}
