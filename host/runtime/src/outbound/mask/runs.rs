//! Finds and decodes base64, hexadecimal digits and lists of bytes in a text.

use std::ops::Range;

use crate::unescape::{Reader, Steps, Unit, is_escape_start};

/// The most layers of escaping over base64, such as `%2B` in a URL or `\/` in JSON.
const LAYERS_MAX: u8 = 2;

/// A run of encoded symbols, decoded.
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// The range of each symbol in the text.
    symbols: Vec<Range<usize>>,
    /// The index of the first symbol that was decoded.
    first: usize,
    /// The bits of a symbol.
    bits: usize,
}

impl Decoded {
    /// Returns the range of the text that encodes these bytes. The symbols at its ends may also have bits of neighbouring
    /// bytes.
    pub(super) fn place(&self, bytes: &Range<usize>) -> Range<usize> {
        let first = self.first + bytes.start * 8 / self.bits;
        let last = self.first + (bytes.end * 8).div_ceil(self.bits) - 1;
        self.symbols[first].start..self.symbols[last].end
    }
}

/// Calls `each` with every way to decode at least `bytes_min` bytes from every part of `text` that may be encoded.
pub(super) fn decoded(
    text: &[u8],
    bytes_min: usize,
    steps: &Steps,
    each: &mut dyn FnMut(&Decoded),
) {
    let reader = Reader::new(text, steps);
    for kind in [Kind::Base64, Kind::Hex] {
        let mut at = 0;
        while at < text.len() {
            // A shortcut: most words are too short.
            let plain = text[at..].iter().take_while(|b| kind.value(**b).is_some());
            let plain = plain.count();
            let goes_on = text
                .get(at + plain)
                .is_some_and(|byte| kind.is_filling(*byte) || is_escape_start(*byte));
            if plain == 0 || !goes_on && plain * kind.bits() / 8 < bytes_min {
                at += plain + 1;
                continue;
            }
            let (run, end) = run(text, &reader, at, kind);
            if run.len() * kind.bits() / 8 >= bytes_min {
                align(run, kind, each);
            }
            at = end.max(at + 1);
        }
    }
    lists(text, bytes_min, each);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Base64,
    Hex,
}

impl Kind {
    fn bits(self) -> usize {
        match self {
            Self::Base64 => 6,
            Self::Hex => 4,
        }
    }

    fn value(self, byte: u8) -> Option<u8> {
        match (self, byte) {
            (Self::Hex, _) => char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok()),
            (Self::Base64, b'A'..=b'Z') => Some(byte - b'A'),
            (Self::Base64, b'a'..=b'z') => Some(byte - b'a' + 26),
            (Self::Base64, b'0'..=b'9') => Some(byte - b'0' + 52),
            (Self::Base64, b'+' | b'-') => Some(62),
            (Self::Base64, b'/' | b'_') => Some(63),
            (Self::Base64, _) => None,
        }
    }

    /// Returns true for a byte that may be between symbols: line breaks, and the separators of hex dumps.
    fn is_filling(self, byte: u8) -> bool {
        match self {
            Self::Base64 => matches!(byte, b'\r' | b'\n'),
            Self::Hex => matches!(byte, b'\r' | b'\n' | b' ' | b':' | b'-' | b','),
        }
    }
}

type Symbol = (u8, Range<usize>);

/// Collects symbols from `at` on; returns them with the index after them.
fn run(text: &[u8], reader: &Reader<'_>, mut at: usize, kind: Kind) -> (Vec<Symbol>, usize) {
    let mut symbols = Vec::new();
    while let Some(&byte) = text.get(at) {
        if let Some(value) = kind.value(byte) {
            symbols.push((value, at..at + 1));
            at += 1;
            continue;
        }
        if symbols.is_empty() {
            break;
        }
        if kind.is_filling(byte) {
            at += 1;
            // The next line may be indented.
            while matches!(byte, b'\n') && matches!(text.get(at), Some(b' ' | b'\t')) {
                at += 1;
            }
            continue;
        }
        let mut next = None;
        reader.read(at, LAYERS_MAX, &mut |unit, to| {
            let byte = match unit {
                Unit::Byte(byte) => byte,
                Unit::Char(char) => u8::try_from(u32::from(char)).unwrap_or(0xff),
            };
            if to > at + 1 && (kind.value(byte).is_some() || kind.is_filling(byte)) {
                next = next.max(Some((to, byte)));
            }
        });
        let Some((to, byte)) = next else {
            break;
        };
        if let Some(value) = kind.value(byte) {
            symbols.push((value, at..to));
        }
        at = to;
    }
    (symbols, at)
}

/// Decodes the symbols in each alignment, since it is not known at which of them a byte begins.
fn align(run: Vec<Symbol>, kind: Kind, each: &mut dyn FnMut(&Decoded)) {
    let bits = kind.bits();
    let (values, symbols): (Vec<u8>, Vec<Range<usize>>) = run.into_iter().unzip();
    let mut decoded = Decoded {
        bytes: Vec::with_capacity(values.len() * bits / 8),
        symbols,
        first: 0,
        bits,
    };
    let alignments = match kind {
        Kind::Base64 => 4,
        Kind::Hex => 2,
    };
    for first in 0..alignments {
        decoded.first = first;
        decoded.bytes.clear();
        let (mut held, mut held_bits) = (0_u32, 0);
        for value in values.iter().skip(first) {
            held = (held << bits) | u32::from(*value);
            held_bits += bits;
            if held_bits >= 8 {
                held_bits -= 8;
                decoded.bytes.push((held >> held_bits) as u8);
                held &= (1 << held_bits) - 1;
            }
        }
        each(&decoded);
    }
}

/// Finds bytes that are written as numbers separated by commas, semicolons or spaces, as JSON and debug output do: `[104,
/// 117]`, `[104 117]`, `0x68, 0x75`.
fn lists(text: &[u8], bytes_min: usize, each: &mut dyn FnMut(&Decoded)) {
    let mut list = Decoded {
        bytes: Vec::new(),
        symbols: Vec::new(),
        first: 0,
        bits: 8,
    };
    let mut end_list = |list: &mut Decoded| {
        if list.bytes.len() >= bytes_min {
            each(list);
        }
        list.bytes.clear();
        list.symbols.clear();
    };
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(u8::is_ascii_digit) {
        let start = at + next;
        let (byte, end) = listed(text, start);
        let goes_on = list
            .symbols
            .last()
            .is_none_or(|last| is_separator(&text[last.end..start]));
        if !goes_on || byte.is_none() {
            end_list(&mut list);
        }
        if let Some(byte) = byte {
            list.bytes.push(byte);
            list.symbols.push(start..end);
        }
        at = end;
    }
    end_list(&mut list);
}

/// Returns the number at `at`, `None` if it does not fit into a byte, and the index after it.
fn listed(text: &[u8], at: usize) -> (Option<u8>, usize) {
    let (at, radix) = match &text[at..] {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (at + 2, 16),
        _ => (at, 10),
    };
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let end = at + text[at..].iter().take_while(is_digit).count();
    let number = std::str::from_utf8(&text[at..end]).unwrap_or_default();
    (u8::from_str_radix(number, radix).ok(), end)
}

fn is_separator(text: &[u8]) -> bool {
    let separates = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b';');
    !text.is_empty() && text.iter().all(separates)
}
