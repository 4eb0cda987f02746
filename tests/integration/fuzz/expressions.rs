//! Regular expressions at random, in RE2's syntax, with values that they may match.

use super::engine::Dice;

/// What mutations put into a text.
pub(crate) const WORDS: [&str; 32] = [
    "**",
    "*?",
    "{2}",
    "{1000}",
    "{1001}",
    "{0,}",
    "{,3}",
    "{3,1}",
    "{",
    "}",
    "(",
    ")",
    "(?i)",
    "(?-s)",
    "(?x)",
    "(?=",
    "|",
    "[",
    "]",
    "[^",
    "[:alpha:]",
    "-",
    "&&",
    "\\",
    "\\Q",
    "\\E",
    "\\b",
    "\\C",
    "\\Z",
    "\\x",
    "\\8",
    "(?P<n>",
];

/// Characters that readings differ on: with other cases, outside of ASCII, with a meaning in expressions.
const CHARACTERS: [char; 62] = [
    'a', 'b', 'c', 'f', 'i', 'I', 'k', 'K', 'n', 's', 'S', 'x', 'z', 'Z', '0', '1', '7', '9', '_',
    '-', '.', ',', ':', '/', '@', '#', '%', '&', '~', '!', '=', '<', '>', ' ', '\t', '\n', '{',
    '}', '[', ']', '(', ')', '|', '^', '$', '*', '+', '?', '\\', '"', 'ä', 'Ä', 'ß', 'ẞ', 'ſ',
    '\u{212a}', 'σ', 'ς', 'Σ', 'ı', '日', '👩',
];

/// Pieces that stand for one character, with some that they match.
const PIECES: [(&str, &str); 44] = [
    (".", "aä\n"),
    ("\\d", "079a"),
    ("\\D", "aä0\n"),
    ("\\w", "a_Z0äſ\u{212a}"),
    ("\\W", "-ä aſ"),
    ("\\s", " \t\n_"),
    ("\\S", "aä "),
    ("\\pL", "aäσ日1"),
    ("\\PL", "1-a"),
    ("\\pN", "17a"),
    ("\\p{Lu}", "AÄΣa"),
    ("\\P{Lu}", "aAä"),
    ("\\p{^Lu}", "aA"),
    ("\\p{Greek}", "σΣa"),
    ("[\\p{Han}a-c]", "日bx"),
    ("\\101", "Aa"),
    ("\\060", "0"),
    ("\\12", "\n"),
    ("\\344", "äÄ"),
    ("\\x41", "Aa"),
    ("\\x{e4}", "äÄ"),
    ("\\n", "\nn"),
    ("\\t", "\t"),
    ("\\-", "-"),
    ("\\/", "/"),
    ("\\_", "_"),
    ("[\\w-,]", "a-,ä"),
    ("[a-c-e]", "b-ed"),
    ("[--/]", "-./,"),
    ("[-a]", "-ab"),
    ("[a-]", "-ab"),
    ("[]a]", "]a["),
    ("[^]a]", "b\n]ä"),
    ("[[a]", "[a]"),
    ("[a&&b]", "a&b"),
    ("[a~~b]", "a~b"),
    ("[!--b]", "!-,ab"),
    ("[[:alpha:]]", "aZä"),
    ("[[:^alpha:]_]", "1_aä"),
    ("[[:space:]\\d]", " 1\n"),
    ("[[:word:]\\-]", "_-ä"),
    ("[^\\W\\d]", "a_1ä"),
    ("[\\x{41}-\\103]", "AbBD"),
    ("[ä-ö]", "äÄö"),
];

/// Pieces that are themselves, with nothing to escape.
const PLAIN: [&str; 12] = [
    "{gid}", "{", "}", "{,2}", "{x,1}", "]", "{01}", "-", "&&", "~", "#", "{1,02}",
];

const FLAGS: [&str; 10] = ["i", "s", "m", "U", "is", "-s", "i-s", "-i", "sm", "ims-U"];

/// An expression as a tree, so that values can be made of it.
pub(crate) enum Expression {
    Character(char),
    Piece(&'static str, &'static str),
    Plain(&'static str),
    Quoted(String),
    Anchor(&'static str),
    /// A group with these flags, or without.
    Group(&'static str, Box<Self>),
    /// Flags for what follows.
    Flags(&'static str),
    Repeated(Box<Self>, String, usize),
    Sequence(Vec<Self>),
    Choice(Vec<Self>),
}

impl Expression {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self::of_depth(dice, 3)
    }

    fn of_depth(dice: &mut Dice, depth: usize) -> Self {
        match dice.below(if depth == 0 { 10 } else { 16 }) {
            0..=2 => Self::Character(*dice.pick(&CHARACTERS)),
            3..=6 => {
                let (text, values) = *dice.pick(&PIECES);
                Self::Piece(text, values)
            }
            7 => Self::Plain(dice.pick::<&str>(&PLAIN)),
            8 => Self::Quoted(value(dice).replace("\\E", "")),
            9 => Self::Anchor(dice.pick::<&str>(&["^", "$", "\\A", "\\z", "\\b", "\\b", "\\B"])),
            10 | 11 => Self::repeated(dice, depth - 1),
            12 => {
                let open = match dice.below(5) {
                    0 => "(",
                    1 => "(?P<n>",
                    2 => "(?:",
                    _ => return Self::with_flags(dice, depth - 1),
                };
                Self::Group(open, Box::new(Self::of_depth(dice, depth - 1)))
            }
            13 => Self::Choice(Self::several(dice, depth - 1)),
            _ => Self::Sequence(Self::several(dice, depth - 1)),
        }
    }

    fn several(dice: &mut Dice, depth: usize) -> Vec<Self> {
        let count = 1 + dice.below(4);
        (0..count).map(|_| Self::of_depth(dice, depth)).collect()
    }

    fn with_flags(dice: &mut Dice, depth: usize) -> Self {
        let flags = dice.pick::<&str>(&FLAGS);
        let mut items = vec![Self::Flags(flags)];
        items.extend(Self::several(dice, depth));
        Self::Group("(?:", Box::new(Self::Sequence(items)))
    }

    fn repeated(dice: &mut Dice, depth: usize) -> Self {
        let (text, times) = match dice.below(8) {
            0 => ("*".to_owned(), dice.below(4)),
            1 => ("+".to_owned(), 1 + dice.below(3)),
            2 => ("?".to_owned(), dice.below(2)),
            3 => ("{0}".to_owned(), 0),
            4 => ("{2}".to_owned(), 2),
            5 => ("{1,}".to_owned(), 1 + dice.below(3)),
            6 => ("{0,3}".to_owned(), dice.below(4)),
            _ => {
                let times = 1 + dice.below(40);
                (format!("{{{times}}}"), times.min(3))
            }
        };
        let lazy = if dice.one_in(4) { "?" } else { "" };
        let inner = Self::of_depth(dice, depth);
        // Most of what people repeat is one thing.
        let inner = match inner {
            Self::Sequence(_) | Self::Choice(_) | Self::Repeated(..) if !dice.one_in(8) => {
                Self::Group("(?:", Box::new(inner))
            }
            other => other,
        };
        Self::Repeated(Box::new(inner), format!("{text}{lazy}"), times)
    }

    pub(crate) fn text(&self, dice: &mut Dice) -> String {
        match self {
            Self::Character(c) => {
                let is_special = ".+*?()|[]{}^$\\".contains(*c);
                if is_special && !dice.one_in(30) {
                    format!("\\{c}")
                } else {
                    c.to_string()
                }
            }
            Self::Piece(text, _) | Self::Plain(text) | Self::Anchor(text) => (*text).to_owned(),
            Self::Quoted(text) => format!("\\Q{text}\\E"),
            Self::Flags(flags) => format!("(?{flags})"),
            Self::Group(open, inner) => format!("{open}{})", inner.text(dice)),
            Self::Repeated(inner, times, _) => format!("{}{times}", inner.text(dice)),
            Self::Sequence(items) => items.iter().map(|item| item.text(dice)).collect(),
            Self::Choice(items) => {
                let texts: Vec<_> = items.iter().map(|item| item.text(dice)).collect();
                texts.join("|")
            }
        }
    }

    /// Returns a value that may match.
    pub(crate) fn sample(&self, dice: &mut Dice) -> String {
        match self {
            Self::Character(c) => {
                let cases = [*c, *c, *c, in_another_case(*c)];
                dice.pick(&cases).to_string()
            }
            Self::Piece(_, values) => {
                let values: Vec<char> = values.chars().collect();
                dice.pick(&values).to_string()
            }
            Self::Plain(text) => (*text).to_owned(),
            Self::Quoted(text) => text.clone(),
            Self::Anchor(_) | Self::Flags(_) => String::new(),
            Self::Group(_, inner) => inner.sample(dice),
            Self::Repeated(inner, _, times) => (0..*times).map(|_| inner.sample(dice)).collect(),
            Self::Sequence(items) => items.iter().map(|item| item.sample(dice)).collect(),
            Self::Choice(items) => dice.pick(items).sample(dice),
        }
    }
}

fn in_another_case(c: char) -> char {
    let mut other = if c.is_lowercase() {
        c.to_uppercase().collect::<Vec<_>>()
    } else {
        c.to_lowercase().collect()
    };
    other.pop().filter(|_| other.is_empty()).unwrap_or(c)
}

/// Returns a value of up to five characters.
pub(crate) fn value(dice: &mut Dice) -> String {
    (0..dice.below(6))
        .map(|_| *dice.pick(&CHARACTERS))
        .collect()
}

/// Returns a value with one character more, less or another.
pub(crate) fn changed(dice: &mut Dice, value: &str) -> String {
    let mut chars: Vec<char> = value.chars().collect();
    let at = dice.below(chars.len() + 1);
    match dice.below(3) {
        0 if at < chars.len() => drop(chars.remove(at)),
        1 if at < chars.len() => chars[at] = *dice.pick(&CHARACTERS),
        _ => chars.insert(at, *dice.pick(&CHARACTERS)),
    }
    chars.into_iter().collect()
}
