//! Modules in the drop folder, with random changes.

use alert_manager::runtime::LoadError;
use tests::harness::Harness;
use tests::modules;

use super::engine::{Dice, fuzz};

/// What may stand in a module's place as well.
const OTHERS: [&[u8]; 6] = [
    b"",
    b"\0asm\x01\0\0\0",
    b"\0asm\x0d\0\x01\0",
    b"(module)",
    b"\x7fELF\x02\x01\x01",
    b"MZ",
];

fn module(dice: &mut Dice, good: &[u8]) -> Vec<u8> {
    let mut bytes = match dice.below(8) {
        0 => dice.pick(&OTHERS).to_vec(),
        _ => good.to_vec(),
    };
    match dice.below(4) {
        0 => bytes.truncate(dice.below(bytes.len() + 1)),
        1 => {
            // Within the first bytes lie the headers that decide what is read how.
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len().clamp(1, 256));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.byte();
                }
            }
        }
        2 => {
            let from = dice.below(bytes.len() + 1);
            let end = (from + dice.below(64)).min(bytes.len());
            bytes.drain(from..end);
        }
        _ => {
            for _ in 0..=dice.below(6) {
                let at = dice.below(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn modules_with_anything_changed_in_them() {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let good = modules::bytes("probe");
    let harness = threads.block_on(async { Harness::new() });
    let mut refused = 0;
    fuzz("modules_with_anything_changed", 25, |dice| {
        let bytes = module(dice, &good);
        match threads.block_on(harness.runtime.loader().load(bytes)) {
            Ok(module) => {
                let name = module.name().as_str();
                assert!(
                    name.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                    "{name}"
                );
            }
            Err(error) => {
                refused += 1;
                assert!(
                    !matches!(error, LoadError::Host(_)),
                    "it is no fault of the host's: {error}"
                );
                let error = error.to_string();
                assert!(!error.is_empty() && error.len() < 8 << 10, "{error}");
            }
        }
    });
    // The runtime still works.
    let told = threads.block_on(async { harness.probe("attempt").await.facts().await });
    assert_eq!(told, ["1"]);
    println!("modules: {refused} refused");
}
