//! Decodes percent, backslash, HTML and quoted-printable escapes, also if they were applied in several layers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The most layers of escapes that are decoded, as in JSON within JSON within a URL.
pub(super) const LAYERS_MAX: u8 = 3;
/// The size of the cache of readings, which has two entries for each index. Few escapes are longer than the part of the text
/// that it covers, so nearly every index is decoded only once.
const KEPT_MAX: usize = 1_024;

/// What a byte or an escape of the text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Byte(u8),
    Char(char),
}

/// Called with each reading and the index after it in the text.
type Found<'f> = &'f mut dyn FnMut(Unit, usize);

/// A budget of steps, each of a few nanoseconds, which bounds the time for a text. Once it is spent, decoding stops and the
/// result is incomplete.
pub(crate) struct Steps {
    left: Cell<u64>,
    is_spent: Cell<bool>,
}

impl Steps {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            left: Cell::new(max),
            is_spent: Cell::new(false),
        }
    }

    /// Returns true if the budget was exceeded.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent.get()
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Uses up steps; returns false if there were too few.
    pub(super) fn spend(&self, steps: usize) -> bool {
        match self.left.get().checked_sub(steps as u64) {
            Some(left) => self.left.set(left),
            None => self.is_spent.set(true),
        }
        !self.is_spent()
    }
}

struct CachedReadings {
    at: usize,
    layers: u8,
    readings: Rc<[(Unit, usize)]>,
}

/// Decodes one text.
pub(crate) struct Reader<'t> {
    pub(super) text: &'t [u8],
    pub(super) steps: &'t Steps,
    /// A cache of the readings at the last indexes, for two and three layers.
    cached: RefCell<Vec<Option<CachedReadings>>>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t [u8], steps: &'t Steps) -> Self {
        Self {
            text,
            steps,
            cached: RefCell::default(),
        }
    }
}

pub(crate) fn is_escape_start(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&' | b'=')
}

/// Returns true if an escape may begin with these two bytes.
fn may_be_escape(lead: u8, next: u8) -> bool {
    is_escape_start(next)
        || match lead {
            b'%' => next.is_ascii_hexdigit() || matches!(next, b'u' | b'U'),
            b'=' => next.is_ascii_hexdigit(),
            b'&' => next.is_ascii_alphabetic() || next == b'#',
            _ => true,
        }
}

impl Reader<'_> {
    /// Calls `found` with every reading of the text at `at`, with at most this many layers of escapes.
    pub(crate) fn read(&self, at: usize, layers: u8, found: Found<'_>) {
        let Some(&byte) = self.text.get(at) else {
            return;
        };
        if !self.steps.spend(1) {
            return;
        }
        found(Unit::Byte(byte), at + 1);
        if layers == 0 {
            return;
        }
        if byte == b'+' {
            found(Unit::Byte(b' '), at + 1);
        }
        // The first byte of an escape is one of these, also if that byte is escaped itself.
        let next = self.text.get(at + 1).copied().unwrap_or_default();
        if !is_escape_start(byte) || !may_be_escape(byte, next) {
            return;
        }
        for (unit, to) in self.escapes(at, layers).iter() {
            if !self.steps.spend(1) {
                return;
            }
            found(*unit, *to);
        }
    }

    /// Returns the readings of the escapes that begin at `at`.
    fn escapes(&self, at: usize, layers: u8) -> Rc<[(Unit, usize)]> {
        let kept = (2 * self.text.len()).next_power_of_two().min(KEPT_MAX);
        let place = (2 * at + usize::from(layers & 1)) % kept;
        if let Some(Some(known)) = self.cached.borrow().get(place)
            && (known.at, known.layers) == (at, layers)
        {
            return Rc::clone(&known.readings);
        }
        let mut all = Vec::new();
        let found: Found<'_> = &mut |unit, to| {
            if self.steps.spend(1 + all.len()) && !all.contains(&(unit, to)) {
                all.push((unit, to));
            }
        };
        let inner = layers - 1;
        self.read(at, inner, &mut |lead, next| match lead {
            Unit::Byte(b'%') => self.percent(next, inner, found),
            Unit::Byte(b'\\') => self.backslash(next, inner, found),
            Unit::Byte(b'&') => self.reference(next, inner, found),
            // Quoted-printable.
            Unit::Byte(b'=') => self.pair(next, inner, found),
            _ => {}
        });
        let readings: Rc<[_]> = all.into();
        // With one layer, decoding is as fast as a lookup.
        if layers > 1 {
            let mut known = self.cached.borrow_mut();
            known.resize_with(kept, || None);
            known[place] = Some(CachedReadings {
                at,
                layers,
                readings: Rc::clone(&readings),
            });
        }
        readings
    }

    /// Decodes `%26`, and `%u0026` of JavaScript's `escape` and of IIS.
    fn percent(&self, at: usize, layers: u8, found: Found<'_>) {
        self.pair(at, layers, found);
        self.literal(at, layers, b"u", &mut |to| {
            self.utf16(to, layers, b"%u", found);
        });
    }

    /// Decodes two hexadecimal digits, which are a byte in some syntaxes and a character in others.
    fn pair(&self, at: usize, layers: u8, found: Found<'_>) {
        self.number(at, layers, Digits::hex(2), &mut |value, to| {
            match u8::try_from(value) {
                Ok(byte) => found(Unit::Byte(byte), to),
                Err(_) => return,
            }
            if value >= 0x80 {
                found_char(value, to, found);
            }
        });
    }

    /// Decodes the backslash escapes of JSON, JavaScript, Python, Go, Rust, C and shells.
    fn backslash(&self, at: usize, layers: u8, found: Found<'_>) {
        self.read(at, layers, &mut |unit, next| {
            let Unit::Byte(byte) = unit else {
                return;
            };
            match byte {
                b'u' => {
                    self.utf16(next, layers, b"\\u", found);
                    self.braced(next, layers, found);
                }
                b'U' => self.number(next, layers, Digits::hex(8), &mut |value, to| {
                    found_char(value, to, found);
                }),
                b'x' => self.pair(next, layers, found),
                b'0'..=b'7' => self.number(at, layers, Digits::octal(), &mut |value, to| {
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

    /// Decodes four hexadecimal digits, and the second half of a surrogate pair.
    fn utf16(&self, at: usize, layers: u8, prefix: &[u8], found: Found<'_>) {
        self.number(at, layers, Digits::hex(4), &mut |first, to| {
            if !(0xd800..0xdc00).contains(&first) {
                found_char(first, to, found);
                return;
            }
            self.literal(to, layers, prefix, &mut |to| {
                self.number(to, layers, Digits::hex(4), &mut |second, to| {
                    if (0xdc00..0xe000).contains(&second) {
                        let value = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        found_char(value, to, found);
                    }
                });
            });
        });
    }

    /// Decodes `{26}` after `\u`.
    fn braced(&self, at: usize, layers: u8, found: Found<'_>) {
        self.literal(at, layers, b"{", &mut |to| {
            self.number(to, layers, Digits::upto(16, 6), &mut |value, to| {
                self.literal(to, layers, b"}", &mut |to| {
                    found_char(value, to, found);
                });
            });
        });
    }

    /// Decodes an HTML character reference after its `&`.
    fn reference(&self, at: usize, layers: u8, found: Found<'_>) {
        self.literal(at, layers, b"#", &mut |to| {
            let mut ends = |value, to| {
                self.literal(to, layers, b";", &mut |to| {
                    found_char(value, to, found);
                });
            };
            self.number(to, layers, Digits::upto(10, 10), &mut ends);
            self.literal(to, layers, b"x", &mut |to| {
                self.number(to, layers, Digits::upto(16, 8), &mut ends);
            });
        });
        self.named(at, layers, (0, u64::MAX), found);
    }

    /// Decodes a named reference from its letter `done` on. `of` is the set of names that still match, which are compared at
    /// once so that each letter is decoded only once.
    fn named(&self, at: usize, layers: u8, (done, of): (usize, u64), found: Found<'_>) {
        self.read(at, layers, &mut |unit, to| {
            let Unit::Byte(byte) = unit else {
                return;
            };
            let mut go_on = 0;
            for (index, (name, char)) in NAMED.iter().enumerate() {
                match name.as_bytes().get(done) {
                    _ if of & (1 << index) == 0 => {}
                    Some(letter) if letter.eq_ignore_ascii_case(&byte) => go_on |= 1 << index,
                    None if byte == b';' => found(Unit::Byte(*char), to),
                    _ => {}
                }
            }
            if go_on != 0 {
                self.named(to, layers, (done + 1, go_on), found);
            }
        });
    }

    /// Reads `wanted`, ignoring case, and calls `then` with the index after it.
    fn literal(&self, at: usize, layers: u8, wanted: &[u8], then: &mut dyn FnMut(usize)) {
        let Some((first, rest)) = wanted.split_first() else {
            then(at);
            return;
        };
        self.read(at, layers, &mut |unit, to| {
            if matches!(unit, Unit::Byte(byte) if byte.eq_ignore_ascii_case(first)) {
                self.literal(to, layers, rest, then);
            }
        });
    }

    /// Reads a number with an allowed count of digits, and calls `then` with it and the index after it.
    fn number(&self, at: usize, layers: u8, digits: Digits, then: &mut dyn FnMut(u32, usize)) {
        self.digits_from(at, layers, digits, (0, 0), then);
    }

    fn digits_from(
        &self,
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
        self.read(at, layers, &mut |unit, to| {
            let Unit::Byte(byte) = unit else {
                return;
            };
            if let Some(digit) = char::from(byte).to_digit(digits.radix) {
                let value = value.wrapping_mul(digits.radix).wrapping_add(digit);
                self.digits_from(to, layers, digits, (value, count + 1), then);
            }
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

/// The HTML names of ASCII characters.
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
