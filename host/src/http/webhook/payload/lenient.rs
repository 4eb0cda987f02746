//! Parses JSON field by field, so that an error in one field affects no other, and without building a tree, which would need
//! many times the memory of the text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::FieldError;
use crate::alert::Labels;

/// JSON that is nested more deeply than this is refused.
const DEPTH_MAX: usize = 128;

/// A text that is borrowed from the body if it has no escapes. (Serde does not borrow in `Option<Cow<str>>` by default.)
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn into_filled(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.into_owned())
    }
}

/// Returns these fields of a JSON object; `None` if a field is missing or null. If a field occurs twice, the last value is
/// used.
pub(super) fn pick<'a, const N: usize>(
    text: &'a str,
    names: [&'static str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let picked = Pick(names).deserialize(&mut reader)?;
    reader.end()?;
    Ok(picked)
}

struct Pick<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Pick<N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Pick<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = [None; N];
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match self.0.iter().position(|wanted| *wanted == name.0) {
                Some(place) => {
                    let value: &'de RawValue = map.next_value()?;
                    picked[place] = (value.get() != "null").then_some(value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

/// Returns a string, with unpaired surrogates replaced.
pub(super) fn string(raw: &RawValue) -> Option<Text<'_>> {
    if !raw.get().starts_with('"') {
        return None;
    }
    if let Ok(text) = serde_json::from_str(raw.get()) {
        return Some(text);
    }
    let mended = mend(raw.get())?;
    let text: String = serde_json::from_str(&mended).ok()?;
    Some(Text(Cow::Owned(text)))
}

/// Returns a string, or a number or boolean as written; `None` for lists and objects.
pub(super) fn scalar(raw: &RawValue) -> Option<Text<'_>> {
    match raw.get().as_bytes().first() {
        Some(b'"') => string(raw),
        Some(b'{' | b'[') | None => None,
        Some(_) => Some(Text(Cow::Borrowed(raw.get()))),
    }
}

/// Returns the pairs of an object whose values must be strings; the error names the first that is not.
pub(super) fn strict_pairs(raw: &RawValue, name: &str) -> Result<Labels, FieldError> {
    if !raw.get().starts_with('{') {
        return Err(expected("an object", name.to_owned(), raw));
    }
    serde_json::from_str(raw.get()).map_err(|error| {
        let mut odd = None;
        let read = each_pair(raw.get(), |key, value| {
            if odd.is_none() && !value.get().starts_with('"') {
                odd = Some(expected("a string", format!("{name}.{key}"), value));
            }
        });
        let error = read.err().unwrap_or(error);
        odd.unwrap_or_else(|| FieldError::new(name, error.to_string()))
    })
}

/// Returns the pairs of an object: values that are not strings become their JSON, null is left out.
pub(super) fn lenient_pairs(raw: &RawValue) -> Labels {
    if !raw.get().starts_with('{') {
        return Labels::default();
    }
    if let Ok(labels) = serde_json::from_str(raw.get()) {
        return labels;
    }
    let mended = mend(raw.get());
    let json = mended.as_deref().unwrap_or(raw.get());
    Labels::gathered(|add| {
        let read = each_pair(json, |key, value| {
            let text = string(value);
            match &text {
                Some(text) => add(key, &text.0),
                None if value.get() == "null" => {}
                None => add(key, value.get()),
            }
        });
        if let Err(error) = read {
            tracing::debug!(%error, "pairs that only inform cannot be read");
        }
    })
}

fn each_pair(text: &str, visit: impl FnMut(&str, &RawValue)) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_map(&mut reader, EachPair(visit))
}

struct EachPair<F>(F);

impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for EachPair<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            (self.0)(&name.0, value);
        }
        Ok(())
    }
}

/// Returns a value's type for use in a sentence.
pub(super) fn found(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Returns the error for a value of the wrong type.
pub(super) fn expected(wanted: &str, field: impl Into<String>, raw: &RawValue) -> FieldError {
    if is_deep(raw.get()) {
        return FieldError::new(field, "the body is nested too deeply");
    }
    let found = found(raw.get());
    FieldError::new(field, format!("expected {wanted}, found {found}"))
}

fn is_deep(json: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Returns the JSON with U+FFFD for each unpaired surrogate, as Go decodes it (`encoding/json`, `unquoteBytes`); `None` if there
/// is none.
pub(super) fn mend(json: &str) -> Option<String> {
    memchr::memmem::find(json.as_bytes(), br"\u")?;
    let mut bytes = json.as_bytes().to_vec();
    if !mend_bytes(&mut bytes) {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// Does the same in place, as the escape of U+FFFD has the same length. Returns whether there was an unpaired surrogate.
pub(super) fn mend_bytes(json: &mut [u8]) -> bool {
    const REPLACEMENT: &[u8; 6] = br"\ufffd";
    let (mut at, mut mended) = (0, false);
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let here = at + found;
        at = match escaped_unit(json, here) {
            Some(0xd800..=0xdbff)
                if matches!(escaped_unit(json, here + 6), Some(0xdc00..=0xdfff)) =>
            {
                here + 12
            }
            Some(0xd800..=0xdfff) => {
                json[here..here + 6].copy_from_slice(REPLACEMENT);
                mended = true;
                here + 6
            }
            // Skips an escaped character, which may be a backslash.
            _ => here + 2,
        };
    }
    mended
}

/// Returns the UTF-16 unit that is written as `\uXXXX` at this position.
fn escaped_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_surrogates_become_what_go_makes_of_them() {
        for (json, expected) in [
            (r#""cut \ud83d""#, Some(r#""cut \ufffd""#)),
            (r#""\uDE00x""#, Some(r#""\ufffdx""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ude00\ud83d""#, Some(r#""\ufffd\ufffd""#)),
            (r#""\ud83d\u0041""#, Some(r#""\ufffd\u0041""#)),
            (r#""\ud83d\n""#, Some(r#""\ufffd\n""#)),
            (r#""\ud83d\\ude00""#, Some(r#""\ufffd\\ude00""#)),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            (r#""\ud83d\ude00 \uD83D\uDE00""#, None),
            (r#""\ud83"#, None),
            (r"\", None),
            ("", None),
        ] {
            assert_eq!(mend(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn depth_is_measured_outside_of_strings() {
        let open = "[".repeat(DEPTH_MAX);
        assert!(!is_deep(&open));
        assert!(is_deep(&format!("{open}[")));
        assert!(!is_deep(&format!(r#"{open}"[[[\"[[""#)));
    }
}
