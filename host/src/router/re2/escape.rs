//! Escapes for single characters.

use super::error::Re2Error;

/// Parses the escape at the start of `text`, which begins with a backslash; returns its character and the remaining text.
/// The character is a number, because RE2 accepts surrogates, which no text contains.
pub(super) fn character(text: &str) -> Result<(u32, &str), Re2Error> {
    let mut chars = text.chars();
    chars.next();
    let Some(c) = chars.next() else {
        return Err(Re2Error::TrailingBackslash);
    };
    let after = chars.as_str();
    let fail = |after: &str| Re2Error::Escape(text[..text.len() - after.len()].to_owned());
    let value = match c {
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        'x' => return hexadecimal(after).map_err(fail),
        '0' => return Ok(octal(0, after)),
        // A single digit would be a backreference.
        '1'..='7' if after.starts_with(is_octal) => return Ok(octal(u32::from(c) - 0x30, after)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c.into(),
        _ => return Err(fail(after)),
    };
    Ok((value, after))
}

fn is_octal(c: char) -> bool {
    c.is_digit(8)
}

/// Parses up to two more digits.
fn octal(first: u32, after: &str) -> (u32, &str) {
    let more = after.chars().take(2).take_while(|c| is_octal(*c)).count();
    let digits = after[..more].chars().filter_map(|c| c.to_digit(8));
    (
        digits.fold(first, |sum, digit| sum * 8 + digit),
        &after[more..],
    )
}

/// Parses what follows `\x`: two digits, or any number of them in braces. The error is the text after the mistake.
fn hexadecimal(after: &str) -> Result<(u32, &str), &str> {
    let mut chars = after.chars();
    let Some(braced) = after.strip_prefix('{') else {
        let mut digit = || chars.next().and_then(|c| c.to_digit(16));
        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        return value
            .map(|value| (value, chars.as_str()))
            .ok_or(chars.as_str());
    };
    let Some((digits, rest)) = braced.split_once('}') else {
        return Err("");
    };
    let value = digits.chars().try_fold(0, |sum: u32, c| {
        let sum = sum * 16 + c.to_digit(16)?;
        (sum <= char::MAX.into()).then_some(sum)
    });
    match value {
        Some(value) if !digits.is_empty() => Ok((value, rest)),
        _ => Err(rest),
    }
}
