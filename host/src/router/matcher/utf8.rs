//! Alertmanager's newer parser of matchers (matcher/parse): names in UTF-8, Go's escapes in quotes.

use super::{MatchOp, MatcherError, Written};

pub(super) fn read(text: &str) -> Result<Vec<Written>, MatcherError> {
    let mut reader = Reader { rest: text };
    let matchers = reader.matchers();
    matchers.map_err(|why| MatcherError::of_text(text, &why))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    OpenBrace,
    CloseBrace,
    Comma,
    Op(MatchOp),
    /// The text between the quotes.
    Quoted(&'t str),
    Unquoted(&'t str),
    End,
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn matchers(&mut self) -> Result<Vec<Written>, String> {
        let mut matchers = Vec::new();
        let mut token = self.next()?;
        let end = if token == Token::OpenBrace {
            token = self.next()?;
            Token::CloseBrace
        } else {
            Token::End
        };
        while token != end {
            matchers.push(self.matcher(token)?);
            token = self.next()?;
            match token {
                Token::Comma => token = self.next()?,
                token if token == end => {}
                Token::End => return Err("the closing brace is missing".to_owned()),
                Token::CloseBrace => return Err("the opening brace is missing".to_owned()),
                _ => return Err("a comma is expected after the value".to_owned()),
            }
        }
        if end == Token::CloseBrace && self.next()? != Token::End {
            return Err("nothing is expected after the closing brace".to_owned());
        }
        Ok(matchers)
    }

    fn matcher(&mut self, first: Token<'t>) -> Result<Written, String> {
        let name = match first {
            Token::Quoted(raw) => unquoted(raw)?,
            Token::Unquoted(name) => name.to_owned(),
            _ => return Err("a label's name is expected".to_owned()),
        };
        let Token::Op(op) = self.next()? else {
            return Err("one of = != =~ !~ is expected after the name".to_owned());
        };
        let value = match self.next()? {
            Token::Quoted(raw) => unquoted(raw)?,
            Token::Unquoted(value) => value.to_owned(),
            _ => return Err("a value is expected after the operator".to_owned()),
        };
        Ok(Written { name, op, value })
    }

    fn next(&mut self) -> Result<Token<'t>, String> {
        let text = self.rest.trim_start();
        let Some(first) = text.chars().next() else {
            return Ok(Token::End);
        };
        let ops = [
            MatchOp::Regex,
            MatchOp::NotRegex,
            MatchOp::NotEqual,
            MatchOp::Equal,
        ];
        let (token, length) = match first {
            '{' => (Token::OpenBrace, 1),
            '}' => (Token::CloseBrace, 1),
            ',' => (Token::Comma, 1),
            '=' | '!' => {
                let op = ops.into_iter().find(|op| text.starts_with(op.as_str()));
                let op = op.ok_or("the operators are = != =~ !~")?;
                (Token::Op(op), op.as_str().len())
            }
            '"' => {
                let raw = quoted(&text[1..]).ok_or("the closing quote is missing")?;
                (Token::Quoted(raw), raw.len() + 2)
            }
            c if is_reserved(c) => return Err(format!("{c} must be within quotes")),
            _ => {
                let length = text.find(is_reserved).unwrap_or(text.len());
                (Token::Unquoted(&text[..length]), length)
            }
        };
        self.rest = &text[length..];
        Ok(token)
    }
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

/// Returns the text before the closing quote.
fn quoted(text: &str) -> Option<&str> {
    let mut is_escaped = false;
    let closing = text.find(|c| {
        let closes = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        closes
    })?;
    Some(&text[..closing])
}

fn unquoted(raw: &str) -> Result<String, String> {
    unescaped(raw).ok_or_else(|| format!("\"{raw}\" has an invalid escape"))
}

/// Decodes the escapes of Go's double-quoted strings (`strconv.Unquote`); `None` if one is invalid, if the text has a newline,
/// or if the result is not UTF-8.
fn unescaped(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = rest.chars().next()?;
        let (byte, digits, radix) = match kind {
            'a' => (0x07, 0, 0),
            'b' => (0x08, 0, 0),
            'f' => (0x0c, 0, 0),
            'n' => (b'\n', 0, 0),
            'r' => (b'\r', 0, 0),
            't' => (b'\t', 0, 0),
            'v' => (0x0b, 0, 0),
            '\\' => (b'\\', 0, 0),
            '"' => (b'"', 0, 0),
            'x' => (0, 2, 16),
            'u' => (0, 4, 16),
            'U' => (0, 8, 16),
            '0'..='7' => (0, 3, 8),
            _ => return None,
        };
        if digits == 0 {
            bytes.push(byte);
            rest = &rest[1..];
            continue;
        }
        // An octal escape has no letter before its digits.
        let written = &rest[usize::from(radix == 16)..];
        let digits = written.get(..digits)?;
        let code = digits.chars().try_fold(0u32, |sum, c| {
            sum.checked_mul(radix)?.checked_add(c.to_digit(radix)?)
        })?;
        if matches!(kind, 'u' | 'U') {
            let c = char::from_u32(code)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(code).ok()?);
        }
        rest = &written[digits.len()..];
    }
    String::from_utf8(bytes).ok()
}
