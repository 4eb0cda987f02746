//! Reads texts in which each character may be spelt as escapers like it.
//!
//! Escapers differ in which characters they touch and how: a list of what the known ones make of a secret
//! misses the next one, and every mixture. So the text is read the other way round: at each place, every
//! reading of what stands there (the byte itself, or the escape that begins there) is compared with what the
//! secret has next.

/// How many escapers may have been applied one over the other: JSON within JSON within a URL.
const LAYERS_MAX: u8 = 3;

/// What one reading comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime::imports) enum Unit {
    Byte(u8),
    Char(char),
}

/// Called with each reading and with where it ends.
type Found<'f> = &'f mut dyn FnMut(Unit, usize);

/// Returns where the longest spelling of `secret` ends that begins at `at`.
pub(in crate::runtime::imports) fn match_at(
    text: &[u8],
    at: usize,
    secret: &[u8],
) -> Option<usize> {
    if begins_another_word(text, at, secret) {
        return None;
    }
    // Pairs of a place in the secret and one in the text. More than one at a time only where an escape may be
    // read in two ways; each is followed once, so that no text takes exponential time.
    let mut open = vec![(0, at)];
    let mut seen = Vec::new();
    let mut end = None;
    while let Some((done, at)) = open.pop() {
        let Some(rest) = secret.get(done..).filter(|rest| !rest.is_empty()) else {
            end = end.max(Some(at));
            continue;
        };
        let at = if done == 0 {
            at
        } else {
            skip_filling(text, at, rest[0])
        };
        let before = open.len();
        read(text, at, LAYERS_MAX, &mut |unit, to| {
            if let Some(more) = continues(rest, unit) {
                open.push((done + more, to));
            }
        });
        if open.len() > before + 1 || !seen.is_empty() {
            let mut kept = before;
            for index in before..open.len() {
                if !seen.contains(&open[index]) {
                    seen.push(open[index]);
                    open.swap(kept, index);
                    kept += 1;
                }
            }
            open.truncate(kept);
        }
    }
    end
}

/// Most places that look like a beginning differ in the next byte: found out without more ado.
fn begins_another_word(text: &[u8], at: usize, secret: &[u8]) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'"' | b'.' | b',' | b':');
    match (&text[at..], secret) {
        ([first, second, ..], [_, wanted, ..]) => {
            !is_lead(*first) && plain(*second) && !second.eq_ignore_ascii_case(wanted)
        }
        _ => false,
    }
}

/// Returns the text with every escape in it read, as often as it was escaped.
pub(in crate::runtime::imports) fn unescaped(text: &str) -> String {
    let text = text.as_bytes();
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let mut longest = (at + 1, Unit::Byte(text[at]));
        read(text, at, LAYERS_MAX, &mut |unit, to| {
            if to > longest.0 {
                longest = (to, unit);
            }
        });
        match longest.1 {
            Unit::Byte(byte) => plain.push(byte),
            Unit::Char(char) => plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at = longest.0;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Returns true where a spelling of `secret` may begin with `byte`.
pub(in crate::runtime::imports) fn may_begin(secret: &[u8], byte: u8) -> bool {
    let first = secret.first().copied().unwrap_or_default();
    byte.eq_ignore_ascii_case(&first) || is_lead(byte) || (byte == b'+' && first == b' ')
}

/// How many bytes of `rest` the unit is. Case does not count: an answer in capitals gives nearly all of it away.
fn continues(rest: &[u8], unit: Unit) -> Option<usize> {
    match unit {
        Unit::Byte(byte) => rest[0].eq_ignore_ascii_case(&byte).then_some(1),
        Unit::Char(char) => {
            let mut utf8 = [0; 4];
            let utf8 = char.encode_utf8(&mut utf8).as_bytes();
            let start = rest.get(..utf8.len())?;
            start.eq_ignore_ascii_case(utf8).then_some(utf8.len())
        }
    }
}

/// What stands between the characters of a wider encoding (UTF-16, UTF-32), and where a line is folded.
fn skip_filling(text: &[u8], mut at: usize, wanted: u8) -> usize {
    loop {
        at += match &text[at..] {
            [b'=', b'\r', b'\n', ..] => 3,
            [b'=', b'\n', ..] => 2,
            [byte @ (0 | b'\r' | b'\n'), ..] if *byte != wanted => 1,
            _ => return at,
        };
    }
}

pub(in crate::runtime::imports) fn is_lead(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&' | b'=')
}

/// Most leads are none, which the next byte tells.
fn goes_on(lead: u8, next: u8) -> bool {
    is_lead(next)
        || match lead {
            b'%' => next.is_ascii_hexdigit() || matches!(next, b'u' | b'U'),
            b'=' => next.is_ascii_hexdigit(),
            b'&' => next.is_ascii_alphabetic() || next == b'#',
            _ => true,
        }
}

/// Finds every reading of what begins at `at`.
pub(in crate::runtime::imports) fn read(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    let Some(&byte) = text.get(at) else {
        return;
    };
    found(Unit::Byte(byte), at + 1);
    if layers == 0 {
        return;
    }
    if byte == b'+' {
        found(Unit::Byte(b' '), at + 1);
    }
    // The first byte of every escape, escaped or not, is one of these.
    if !is_lead(byte) || !goes_on(byte, text.get(at + 1).copied().unwrap_or_default()) {
        return;
    }
    let inner = layers - 1;
    read(text, at, inner, &mut |lead, next| match lead {
        Unit::Byte(b'%') => percent(text, next, inner, found),
        Unit::Byte(b'\\') => backslash(text, next, inner, found),
        Unit::Byte(b'&') => reference(text, next, inner, found),
        // Quoted-printable.
        Unit::Byte(b'=') => pair(text, next, inner, found),
        _ => {}
    });
}

/// `%26`, and `%u0026` as JavaScript's `escape` and IIS have it.
fn percent(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    pair(text, at, layers, found);
    literal(text, at, layers, b"u", &mut |to| {
        utf16(text, to, layers, b"%u", found);
    });
}

/// Two hexadecimal digits: a byte to some, a character to others.
fn pair(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    number(text, at, layers, Digits::hex(2), &mut |value, to| {
        match u8::try_from(value) {
            Ok(byte) => found(Unit::Byte(byte), to),
            Err(_) => return,
        }
        if value >= 0x80 {
            found_char(value, to, found);
        }
    });
}

/// As JSON, JavaScript, Python, Go, Rust, C and shells write it.
fn backslash(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    read(text, at, layers, &mut |unit, next| {
        let Unit::Byte(byte) = unit else {
            return;
        };
        match byte {
            b'u' => {
                utf16(text, next, layers, b"\\u", found);
                braced(text, next, layers, found);
            }
            b'U' => number(text, next, layers, Digits::hex(8), &mut |value, to| {
                found_char(value, to, found);
            }),
            b'x' => pair(text, next, layers, found),
            b'0'..=b'7' => number(text, at, layers, Digits::octal(), &mut |value, to| {
                if let Ok(byte) = u8::try_from(value) {
                    found(Unit::Byte(byte), to);
                }
            }),
            b'n' => found(Unit::Byte(b'\n'), next),
            b'r' => found(Unit::Byte(b'\r'), next),
            b't' => found(Unit::Byte(b'\t'), next),
            b'b' => found(Unit::Byte(8), next),
            b'f' => found(Unit::Byte(12), next),
            b'v' => found(Unit::Byte(11), next),
            mark if mark.is_ascii_punctuation() || mark == b' ' => found(unit, next),
            _ => {}
        }
    });
}

/// Four digits, and the second half of a pair where they are the first.
fn utf16(text: &[u8], at: usize, layers: u8, prefix: &[u8], found: Found<'_>) {
    number(text, at, layers, Digits::hex(4), &mut |first, to| {
        if !(0xd800..0xdc00).contains(&first) {
            found_char(first, to, found);
            return;
        }
        literal(text, to, layers, prefix, &mut |to| {
            number(text, to, layers, Digits::hex(4), &mut |second, to| {
                if (0xdc00..0xe000).contains(&second) {
                    let value = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    found_char(value, to, found);
                }
            });
        });
    });
}

/// `{26}` after `\u`.
fn braced(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    literal(text, at, layers, b"{", &mut |to| {
        number(text, to, layers, Digits::upto(16, 6), &mut |value, to| {
            literal(text, to, layers, b"}", &mut |to| {
                found_char(value, to, found);
            });
        });
    });
}

/// What HTML writes between `&` and `;`.
fn reference(text: &[u8], at: usize, layers: u8, found: Found<'_>) {
    literal(text, at, layers, b"#", &mut |to| {
        let mut ends = |value, to| {
            literal(text, to, layers, b";", &mut |to| {
                found_char(value, to, found);
            });
        };
        number(text, to, layers, Digits::upto(10, 10), &mut ends);
        literal(text, to, layers, b"x", &mut |to| {
            number(text, to, layers, Digits::upto(16, 8), &mut ends);
        });
    });
    let first = text.get(at).copied().unwrap_or_default();
    let may_follow = |name: &str| is_lead(first) || name.as_bytes()[0].eq_ignore_ascii_case(&first);
    for (name, char) in NAMED.into_iter().filter(|(name, _)| may_follow(name)) {
        literal(text, at, layers, name.as_bytes(), &mut |to| {
            literal(text, to, layers, b";", &mut |to| {
                found(Unit::Byte(char), to);
            });
        });
    }
}

fn found_char(value: u32, to: usize, found: Found<'_>) {
    match (u8::try_from(value), char::from_u32(value)) {
        (Ok(byte @ ..0x80), _) => found(Unit::Byte(byte), to),
        (_, Some(char)) => found(Unit::Char(char), to),
        _ => {}
    }
}

/// Reads `wanted`, in whatever case.
fn literal(text: &[u8], at: usize, layers: u8, wanted: &[u8], then: &mut dyn FnMut(usize)) {
    let Some((first, rest)) = wanted.split_first() else {
        then(at);
        return;
    };
    read(text, at, layers, &mut |unit, to| {
        if matches!(unit, Unit::Byte(byte) if byte.eq_ignore_ascii_case(first)) {
            literal(text, to, layers, rest, then);
        }
    });
}

#[derive(Clone, Copy)]
struct Digits {
    radix: u32,
    min: u8,
    max: u8,
}

impl Digits {
    fn hex(count: u8) -> Self {
        Self {
            radix: 16,
            min: count,
            max: count,
        }
    }

    fn octal() -> Self {
        Self {
            radix: 8,
            min: 3,
            max: 3,
        }
    }

    fn upto(radix: u32, max: u8) -> Self {
        Self { radix, min: 1, max }
    }
}

/// Reads a number of so many digits; what has fewer is passed on too where that may be.
fn number(text: &[u8], at: usize, layers: u8, digits: Digits, then: &mut dyn FnMut(u32, usize)) {
    digits_from(text, at, layers, digits, (0, 0), then);
}

fn digits_from(
    text: &[u8],
    at: usize,
    layers: u8,
    digits: Digits,
    (value, count): (u32, u8),
    then: &mut dyn FnMut(u32, usize),
) {
    if count >= digits.min {
        then(value, at);
    }
    if count == digits.max {
        return;
    }
    read(text, at, layers, &mut |unit, to| {
        let Unit::Byte(byte) = unit else {
            return;
        };
        if let Some(digit) = char::from(byte).to_digit(digits.radix) {
            let value = value.wrapping_mul(digits.radix).wrapping_add(digit);
            digits_from(text, to, layers, digits, (value, count + 1), then);
        }
    });
}

/// HTML's names of what ASCII has.
const NAMED: [(&str, u8); 40] = [
    ("amp", b'&'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("nbsp", b' '),
    ("Tab", b'\t'),
    ("NewLine", b'\n'),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("UnderBar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
];
