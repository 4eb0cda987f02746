//! Random numbers from a seed, so that a run can be repeated as far as the machine lets it.

/// Returns the seed in `ALERT_MANAGER_PROOF_SEED`, or one from the clock. To be printed: it names the run.
///
/// # Panics
/// If the variable holds no number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("ALERT_MANAGER_PROOF_SEED") {
        Ok(text) => text
            .parse()
            .expect("ALERT_MANAGER_PROOF_SEED holds a number"),
        Err(_) => {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
            u64::from(since.unwrap_or_default().subsec_nanos())
        }
    }
}

/// A generator of random numbers. A clone rolls the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Rolls the numbers of this seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        // Seeds that differ in a bit are to differ in many; all bits zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns other dice, whose seed these roll.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self::from_seed(self.next())
    }

    /// Returns a number from `from` to below `to`.
    ///
    /// # Panics
    /// If there is none.
    pub fn roll(&mut self, from: usize, to: usize) -> usize {
        let span = u64::try_from(to - from).expect("a usize fits");
        from + usize::try_from(self.next() % span).expect("it is below a usize")
    }

    // xorshift64: Marsaglia, "Xorshift RNGs".
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
