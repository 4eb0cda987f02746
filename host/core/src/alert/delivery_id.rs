//! The ids of deliveries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a delivery: milliseconds since 1970 and a counter. Ids are in the order of acceptance, and in the order of time as
/// long as the clock is right; code that needs the time has to read the stored time.
///
/// Written as 13 characters of Crockford's base 32, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(i64);

/// The error for text that is not an id of this server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a delivery's id is 13 letters and digits, as `deliveries` lists them")]
pub struct DeliveryIdError;

const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl DeliveryId {
    /// Wraps a stored number.
    #[must_use]
    pub fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    /// Returns the number to store.
    #[must_use]
    pub fn as_raw(self) -> i64 {
        self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.cast_unsigned();
        let text: [u8; 13] = std::array::from_fn(|i| {
            CROCKFORD[usize::try_from((bits >> (5 * (12 - i))) & 31).unwrap_or(0)]
        });
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for DeliveryId {
    type Err = DeliveryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 13 {
            return Err(DeliveryIdError);
        }
        let mut bits: u128 = 0;
        for byte in text.bytes() {
            let digit = CROCKFORD
                .iter()
                .position(|c| *c == byte.to_ascii_lowercase())
                .ok_or(DeliveryIdError)?;
            bits = (bits << 5) | digit as u128;
        }
        i64::try_from(bits).map(Self).map_err(|_| DeliveryIdError)
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeliveryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_survives_the_text() {
        for raw in [0, 1, i64::MAX, 7_477_000_000_000_000_000] {
            let id = DeliveryId::from_raw(raw);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("zzzzzzzzzzzzz".parse::<DeliveryId>(), Err(DeliveryIdError));
        assert_eq!("12".parse::<DeliveryId>(), Err(DeliveryIdError));
    }
}
