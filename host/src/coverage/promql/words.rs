//! Splits an expression into its words.

/// The longest expression that is read, in bytes.
const EXPRESSION_BYTES_MAX: usize = 64 << 10;

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name(String),
    /// A number or a duration.
    Number,
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// The signs, longer ones before those that they begin with.
const SIGNS: [&str; 24] = [
    "==", "!=", "=~", "!~", ">=", "<=", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{",
    "}", "[", "]", ",", ":", "@",
];

/// Returns the words of an expression, without comments.
///
/// # Errors
/// What could not be read.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(format!(
            "it has more than {} KiB",
            EXPRESSION_BYTES_MAX >> 10
        ));
    }
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' | '`' => {
                let (value, length) = quoted(rest, first)?;
                words.push(Word::Text(value));
                length
            }
            c if c.is_ascii_digit()
                || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) =>
            {
                words.push(Word::Number);
                number(rest)
            }
            // A recording rule's name may begin with a colon; within a range, a number follows it.
            c if c.is_ascii_alphabetic()
                || c == '_'
                || (c == ':' && rest[1..].starts_with(is_letter)) =>
            {
                let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                let length = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                words.push(Word::Name(rest[..length].to_owned()));
                length
            }
            other => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| format!("{other:?} is no sign of PromQL"))?;
                words.push(Word::Sign(sign));
                sign.len()
            }
        };
        rest = rest[taken..].trim_start();
    }
    Ok(words)
}

/// Returns the length of a number or a duration.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_hex = text.len() > 1 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X');
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        let is_sign_of_exponent = matches!(byte, b'+' | b'-')
            && !is_hex
            && length > 0
            && matches!(bytes[length - 1], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_sign_of_exponent) {
            break;
        }
        length += 1;
    }
    length
}

/// Returns the value of a quoted text, and the length of what stands for it.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((value, at + 1));
        }
        if c != '\\' || quote == '`' {
            value.push(c);
            continue;
        }
        let Some((_, escaped)) = chars.next() else {
            break;
        };
        value.push(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' | '"' | '\'' => escaped,
            // Others stand for characters by number, which no rule needs.
            other => return Err(format!("the escape \\{other} is not read")),
        });
    }
    Err("a quoted text has no end".to_owned())
}
