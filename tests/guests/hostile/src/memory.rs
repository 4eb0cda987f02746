//! Modes that use all memory.

use super::Harm;

pub(super) fn harm(mode: &str) -> Option<Harm> {
    match mode {
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        "memory-at-once" => {
            let hoard = vec![1u8; 2_000_000_000];
            std::hint::black_box(&hoard);
        }
        "memory-in-crumbs" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(Box::new([1u8; 16]));
                std::hint::black_box(&hoard);
            }
        }
        "memory-doubling" => {
            let mut hoard = String::from("x");
            loop {
                hoard = hoard.repeat(2);
                std::hint::black_box(&hoard);
            }
        }
        _ => return None,
    }
    Some(Ok((vec![], vec![])))
}
