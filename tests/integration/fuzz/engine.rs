//! The fuzzing engine: each run has a random generator made from the seed and the number of the run, so that it can be repeated
//! alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// The CPU time that one input may take at most.
const CPU_MAX: Duration = Duration::from_secs(5);

/// Throws `test` at `runs` dice, or for as long as `ALERT_MANAGER_FUZZ_SECONDS` says. The seed is
/// `ALERT_MANAGER_FUZZ_SEED`, else always the same; `ALERT_MANAGER_FUZZ_RUN` does that one run alone.
///
/// # Panics
/// If a run panics or takes too long; which it was is printed.
pub(crate) fn fuzz(target: &str, runs: u64, mut test: impl FnMut(&mut Dice)) {
    let seconds = variable("ALERT_MANAGER_FUZZ_SECONDS");
    let seed = variable("ALERT_MANAGER_FUZZ_SEED").unwrap_or(0x616c_6572_7473);
    let only = variable("ALERT_MANAGER_FUZZ_RUN");
    let began = Instant::now();
    let mut run = only.unwrap_or(0);
    loop {
        let mut dice = Dice::new(seed, run);
        let before = cpu();
        let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut dice)));
        let used = cpu().saturating_sub(before);
        if outcome.is_err() || used > CPU_MAX {
            println!(
                "{target}: run {run} took {used:?}; to have it again: \
                 ALERT_MANAGER_FUZZ_SEED={seed} ALERT_MANAGER_FUZZ_RUN={run} cargo test --workspace --test integration fuzz:: (the run of each target; this one is {target})"
            );
        }
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
        assert!(used <= CPU_MAX, "{target}: run {run} took {used:?}");
        run += 1;
        let is_over = match seconds {
            Some(seconds) => began.elapsed().as_secs() >= seconds,
            None => run >= runs,
        };
        if is_over || only.is_some() {
            println!(
                "{target}: {run} runs with the seed {seed} in {:?}",
                began.elapsed()
            );
            return;
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

/// The CPU time of this thread, which does not depend on the load of the machine.
fn cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Returns the seeds of a target: the files of a folder of `tests/integration/fuzz/corpus`, in the order of their names.
pub(crate) fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("integration/fuzz/corpus")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// Returns the lines of the seeds of a target.
pub(crate) fn corpus_lines(folder: &str) -> Vec<String> {
    corpus(folder)
        .into_iter()
        .flat_map(|file| {
            let text = String::from_utf8(file).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty())
        .collect()
}

/// A repeatable random generator (Steele's `SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    fn new(seed: u64, run: u64) -> Self {
        let mut dice = Self(seed ^ run.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    /// Returns true once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Returns a text of up to `chars_max` characters that parsers often get wrong.
    pub(crate) fn text(&mut self, chars_max: usize) -> String {
        const NASTY: [char; 40] = [
            'a', 'b', 'Z', '0', '9', '_', '-', '.', ':', '/', '\\', '"', '\'', '`', '{', '}', '[',
            ']', '(', ')', '=', '~', '!', ',', '#', '%', '&', '<', '>', '|', '*', '?', ' ', '\t',
            '\n', '\r', '\0', 'é', '\u{202e}', '👩',
        ];
        (0..self.below(chars_max + 1))
            .map(|_| *self.pick(&NASTY))
            .collect()
    }

    /// Changes `bytes` in a few places, with pieces of `dictionary` now and then.
    pub(crate) fn mutate(&mut self, bytes: &mut Vec<u8>, dictionary: &[&str]) {
        const BYTES_MAX: usize = 64 << 10;
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(16)).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    for _ in 0..=self.below(8) {
                        bytes.splice(to..to, piece.iter().copied());
                    }
                }
                5 => bytes.truncate(at),
                _ if !dictionary.is_empty() => {
                    let word = self.pick(dictionary).as_bytes().to_vec();
                    bytes.splice(at..end, word);
                }
                _ => {}
            }
            bytes.truncate(BYTES_MAX);
        }
    }

    /// Changes a text as [`Self::mutate`] does, and leaves it one.
    pub(crate) fn mutate_text(&mut self, text: &str, dictionary: &[&str]) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.mutate(&mut bytes, dictionary);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
