//! Uses as much as it can of the resource that the alert's label `mode` names: for tests of limits and leaks.

#![allow(unsafe_code, reason = "the generated glue, and a look at all of its memory")]

use handler_sdk::bindings::{self, alert_manager, exports};

use alert_manager::handler::types::Block;
use exports::alert_manager::handler::hooks::{
    Alert, Call, Description, Enrichment, Failure, Guest, Labels,
};

struct Greedy;
bindings::export_hooks!(Greedy with_types_in bindings);

/// The pattern that it leaves in its memory.
const MARK: u64 = 0x5ec2_e75e_c2e7_5ec2;
/// How many bytes of it: more than the pool zeroes itself, so that pages that the pool returns are checked too.
const MARKED_BYTES: usize = 3 << 20;

unsafe extern "C" {
    /// From WASI's C library: `wasi:random/random`, 256 bytes at most.
    fn getentropy(buffer: *mut u8, length: usize) -> i32;
}

impl Guest for Greedy {
    fn describe() -> Description {
        Description {
            name: "greedy".into(),
            version: "0.1.0".into(),
            summary: "Takes as much as it can.".into(),
            alerts: vec!["Greedy".into()],
            more: vec![],
        }
    }

    fn enrich(_: Call, _: Alert, _: Enrichment) -> Result<Enrichment, Failure> {
        Ok(Enrichment {
            facts: vec![],
            blocks: (0..100).map(|_| Block::Markdown("text".into())).collect(),
        })
    }

    fn act(_: Call, alert: Alert, _: Enrichment) -> Result<Labels, Failure> {
        let mode = alert.labels.iter().find(|(name, _)| name == "mode");
        let pair = |name: &str, value: String| (name.to_owned(), value);
        match mode.map_or("", |(_, mode)| mode.as_str()) {
            "facts" => Ok((0..100_000)
                .map(|n| pair(&n.to_string(), String::new()))
                .collect()),
            "fact-name" => Ok(vec![pair(&"n".repeat(1 << 20), String::new())]),
            "fact" => Ok(vec![pair("fact", "x".repeat(10_000))]),
            "random" => {
                let mut bytes = [0; 256];
                for _ in 0..100_000 {
                    // SAFETY: the buffer is as long as it says.
                    unsafe { getentropy(bytes.as_mut_ptr(), bytes.len()) };
                }
                Ok(vec![pair("last", format!("{bytes:?}"))])
            }
            "memory" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1u8; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            // Fills its memory with the mark, then traps and leaves it in place.
            "mark" => {
                std::hint::black_box(vec![MARK; MARKED_BYTES / 8]);
                let marked = vec![MARK; MARKED_BYTES / 8];
                std::hint::black_box(&marked);
                panic!("with its memory full");
            }
            "mark-and-scan" => {
                let marked = vec![MARK; MARKED_BYTES / 8];
                std::hint::black_box(&marked);
                Ok(vec![pair("found", marks_in_memory().to_string())])
            }
            "scan" => Ok(vec![pair("found", marks_in_memory().to_string())]),
            other => Err(Failure::Permanent(format!("there is no mode {other:?}"))),
        }
    }
}

/// Grows as far as `mark` did and counts the marks in the whole memory, including fresh pages.
fn marks_in_memory() -> usize {
    // The memory is not written to, so what is read is what the page held before.
    core::arch::wasm32::memory_grow(0, (2 * MARKED_BYTES) / 65_536);
    let words = core::arch::wasm32::memory_size(0) * 65_536 / 8;
    (1..words)
        // SAFETY: every address below the size can be read.
        .filter(|word| unsafe { std::ptr::read_volatile((word * 8) as *const u64) } == MARK)
        .count()
}
