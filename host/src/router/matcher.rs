//! Matchers in Alertmanager's syntax and meaning.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use crate::alert::Labels;

/// A compiled expression may take this much memory; the default of 10 MiB is for one, and a
/// configuration may hold thousands.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A test of one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    test: Test,
}

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

#[derive(Clone, Debug)]
enum Test {
    /// Compares with the matcher's value.
    Literal,
    Regex(Regex),
}

/// Why a matcher cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MatcherError(String);

impl MatchOp {
    /// Returns the operator as it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

impl Matcher {
    /// Returns the matcher `name="value"`.
    #[must_use]
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            op: MatchOp::Equal,
            value: value.to_owned(),
            test: Test::Literal,
        }
    }

    /// Returns a matcher; the expression of a regex must match the whole value.
    ///
    /// # Errors
    /// Where the expression is not one, or takes too much memory.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        // An expression without operators is its own only match.
        let test = match op {
            MatchOp::Equal | MatchOp::NotEqual => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex if regex::escape(value) == value => Test::Literal,
            MatchOp::Regex | MatchOp::NotRegex => Test::Regex(compile(value)?),
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            test,
        })
    }

    /// Reads one matcher, or several in one text: `a="b"`, `a=b, c=~"d|e"`, `{a="b", c!~d}`.
    ///
    /// # Errors
    /// Says what was expected, and where.
    pub fn parse(text: &str) -> Result<Vec<Self>, MatcherError> {
        Scanner::new(text).matchers()
    }

    /// Returns the label's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Returns what it compares with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns true where it matches. A label that is missing equals the empty text.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).unwrap_or_default();
        let same = match &self.test {
            Test::Literal => value == self.value,
            Test::Regex(regex) => regex.is_match(value),
        };
        match self.op {
            MatchOp::Equal | MatchOp::Regex => same,
            MatchOp::NotEqual | MatchOp::NotRegex => !same,
        }
    }
}

/// As Alertmanager writes it: the value quoted, the name only where it must be.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_classic = self.name.chars().enumerate().all(|(i, c)| {
            c.is_ascii_alphabetic() || c == '_' || c == ':' || (i > 0 && c.is_ascii_digit())
        });
        if is_classic && !self.name.is_empty() {
            f.write_str(&self.name)?;
        } else {
            write_quoted(f, &self.name)?;
        }
        f.write_str(self.op.as_str())?;
        write_quoted(f, &self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            _ => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

fn compile(expression: &str) -> Result<Regex, MatcherError> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
    };
    // Alone first: `a)(b` must not become good by what is put around it.
    build(expression)
        .and_then(|_| build(&format!("^(?:{expression})$")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => MatcherError(format!(
                "the expression {expression:?} is too large: repeat less, or split it"
            )),
            other => {
                let why = other.to_string();
                let why = why.lines().last().unwrap_or_default();
                let why = why.trim_start_matches("error: ");
                MatcherError(format!("{expression:?} is not a regular expression: {why}"))
            }
        })
}

struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<Chars<'a>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let inner = text.trim();
        let inner = match inner.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').unwrap_or(inner),
            None => inner,
        };
        Self {
            text,
            chars: inner.chars().peekable(),
        }
    }

    fn fail(&self, why: &str) -> MatcherError {
        MatcherError(format!(
            "{:?} is no matcher: {why}; write it as alertname=\"Name\"",
            self.text
        ))
    }

    fn matchers(mut self) -> Result<Vec<Matcher>, MatcherError> {
        if self.text.trim().is_empty() {
            return Err(self.fail("it is empty"));
        }
        let mut matchers = Vec::new();
        loop {
            self.skip_space();
            if self.chars.peek().is_none() {
                return Ok(matchers);
            }
            let name = self.name()?;
            let op = self.op()?;
            let value = self.value()?;
            matchers.push(Matcher::new(&name, op, &value)?);
            self.skip_space();
            match self.chars.next() {
                None => return Ok(matchers),
                Some(',') => {}
                Some(other) => {
                    return Err(self.fail(&format!("a comma is expected instead of {other:?}")));
                }
            }
        }
    }

    fn skip_space(&mut self) {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn name(&mut self) -> Result<String, MatcherError> {
        let name = if self.chars.peek() == Some(&'"') {
            self.quoted()?
        } else {
            let mut name = String::new();
            while let Some(c) = self
                .chars
                .next_if(|c| !c.is_whitespace() && !"{}!=~,\\\"'`".contains(*c))
            {
                name.push(c);
            }
            name
        };
        if name.is_empty() {
            return Err(self.fail("a label's name is expected"));
        }
        Ok(name)
    }

    fn op(&mut self) -> Result<MatchOp, MatcherError> {
        self.skip_space();
        let first = self.chars.next();
        let second = self.chars.peek().copied();
        let (op, is_long) = match (first, second) {
            (Some('='), Some('~')) => (MatchOp::Regex, true),
            (Some('='), Some('=')) => return Err(self.fail("the operator is =, not ==")),
            (Some('='), _) => (MatchOp::Equal, false),
            (Some('!'), Some('=')) => (MatchOp::NotEqual, true),
            (Some('!'), Some('~')) => (MatchOp::NotRegex, true),
            _ => return Err(self.fail("one of = != =~ !~ is expected after the name")),
        };
        if is_long {
            self.chars.next();
        }
        Ok(op)
    }

    fn value(&mut self) -> Result<String, MatcherError> {
        self.skip_space();
        if self.chars.peek() == Some(&'"') {
            return self.quoted();
        }
        let mut raw = String::new();
        while let Some(c) = self.chars.next_if(|c| *c != ',') {
            if c == '"' && !raw.ends_with('\\') {
                return Err(self.fail("a quote stands inside a value that does not begin with one"));
            }
            raw.push(c);
        }
        Ok(unescape_classic(raw.trim_end()))
    }

    /// Reads to the closing quote. Alertmanager takes Go's escapes; where the text has others it falls
    /// back to its older reading, which leaves `\d` as it is.
    fn quoted(&mut self) -> Result<String, MatcherError> {
        self.chars.next();
        let mut raw = String::new();
        loop {
            match self.chars.next() {
                None => return Err(self.fail("the closing quote is missing")),
                Some('"') => break,
                Some('\\') => {
                    raw.push('\\');
                    raw.extend(self.chars.next());
                }
                Some(c) => raw.push(c),
            }
        }
        Ok(unescape_go(&raw).unwrap_or_else(|| unescape_classic(&raw)))
    }
}

fn unescape_classic(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some(c @ ('"' | '\\')) => text.push(c),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

/// Reads the escapes of Go's double-quoted strings; None where one of them is not Go's.
fn unescape_go(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let code = |chars: &mut Chars<'_>, digits: usize, radix: u32| {
            (0..digits).try_fold(0, |sum, _| {
                Some(sum * radix + chars.next()?.to_digit(radix)?)
            })
        };
        match chars.next()? {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            '"' => bytes.push(b'"'),
            'x' => bytes.push(u8::try_from(code(&mut chars, 2, 16)?).ok()?),
            digit @ '0'..='7' => {
                let value = digit.to_digit(8)? * 64 + code(&mut chars, 2, 8)?;
                bytes.push(u8::try_from(value).ok()?);
            }
            wide @ ('u' | 'U') => {
                let digits = if wide == 'u' { 4 } else { 8 };
                let c = (0..digits).try_fold(0u32, |sum, _| {
                    sum.checked_mul(16)?
                        .checked_add(chars.next()?.to_digit(16)?)
                })?;
                let c = char::from_u32(c)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}
