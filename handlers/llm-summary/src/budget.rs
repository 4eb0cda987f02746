//! The calls and tokens of a day, counted in the key-value store.

use handler_sdk::prelude::*;
use handler_sdk::time::DAY;

/// What a day allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) calls: u32,
    pub(crate) tokens: u32,
}

/// What was taken for one call, before it is made: so calls at the same time do not overdraw it together.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens_key: String,
    tokens: u32,
}

impl Budget {
    /// Takes one call and an estimate of its tokens. A call that fails is not given back: the endpoint may count it too.
    ///
    /// # Errors
    /// Which limit is reached, for people.
    pub(crate) fn take(cx: &Cx, limits: Limits, tokens: u32) -> Result<Self, String> {
        let day = cx.now().to_string();
        let day = day.split('T').next().unwrap_or_default();
        let (calls_key, tokens_key) = (format!("calls.{day}"), format!("tokens.{day}"));
        take(cx, &calls_key, 1, limits.calls).map_err(|why| {
            why.unwrap_or_else(|| {
                format!(
                    "the budget of {} calls a day to the language model is spent",
                    limits.calls
                )
            })
        })?;
        take(cx, &tokens_key, tokens, limits.tokens).map_err(|why| {
            // Nothing is asked, so the call was not made.
            let _ = cx.kv().increment(&calls_key, -1, Some(DAY * 2));
            why.unwrap_or_else(|| {
                format!(
                    "the budget of {} tokens a day for the language model is spent",
                    limits.tokens
                )
            })
        })?;
        Ok(Self { tokens_key, tokens })
    }

    /// Replaces the estimate by what was used. If that cannot be stored, the estimate stays.
    pub(crate) fn used(&self, cx: &Cx, tokens: u32) {
        let difference = i64::from(tokens) - i64::from(self.tokens);
        let difference = i32::try_from(difference).unwrap_or(i32::MAX);
        if let Err(error) = cx
            .kv()
            .increment(&self.tokens_key, difference, Some(DAY * 2))
        {
            cx.log().warn(
                "the tokens that were used are not counted",
                &[("error", &error)],
            );
        }
    }
}

/// Adds to a counter, unless it would be over its limit; the error is `None` if it would, else why it cannot be counted.
fn take(cx: &Cx, key: &str, amount: u32, limit: u32) -> Result<(), Option<String>> {
    let by = i32::try_from(amount).unwrap_or(i32::MAX);
    let add = |by: i32| {
        let sum = cx.kv().increment(key, by, Some(DAY * 2));
        sum.map_err(|error| Some(format!("the budget of the day cannot be counted: {error}")))
    };
    if add(by)? <= i64::from(limit) {
        return Ok(());
    }
    add(-by)?;
    Err(None)
}
