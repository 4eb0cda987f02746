//! Character classes: the named ones, and case folding.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Returns the characters from `first` to `last`, without surrogates, which no label's value contains.
pub(super) fn ranges(first: u32, last: u32) -> impl Iterator<Item = ClassUnicodeRange> {
    const BEFORE_SURROGATES: u32 = 0xd7ff;
    const AFTER_SURROGATES: u32 = 0xe000;
    [
        (first, last.min(BEFORE_SURROGATES)),
        (first.max(AFTER_SURROGATES), last),
    ]
    .into_iter()
    .filter(|(first, last)| first <= last)
    .filter_map(|(first, last)| {
        let (first, last) = (char::from_u32(first)?, char::from_u32(last)?);
        Some(ClassUnicodeRange::new(first, last))
    })
}

/// Returns a class of pairs of ASCII characters, each from the first to the second.
fn ascii(pairs: &[&[u8; 2]]) -> ClassUnicode {
    let pairs = pairs.iter();
    ClassUnicode::new(pairs.flat_map(|[first, last]| ranges((*first).into(), (*last).into())))
}

/// Returns the class `\d`, `\s` or `\w`, by its letter in lower case.
pub(super) fn perl(letter: char) -> Option<ClassUnicode> {
    Some(match letter {
        'd' => ascii(&[b"09"]),
        's' => ascii(&[b"\t\n", b"\x0c\r", b"  "]),
        'w' => ascii(&[b"09", b"AZ", b"__", b"az"]),
        _ => return None,
    })
}

/// Returns the class `[:name:]`.
pub(super) fn posix(name: &str) -> Option<ClassUnicode> {
    Some(match name {
        "alnum" => ascii(&[b"09", b"AZ", b"az"]),
        "alpha" => ascii(&[b"AZ", b"az"]),
        "ascii" => ascii(&[b"\x00\x7f"]),
        "blank" => ascii(&[b"\t\t", b"  "]),
        "cntrl" => ascii(&[b"\x00\x1f", b"\x7f\x7f"]),
        "digit" => ascii(&[b"09"]),
        "graph" => ascii(&[b"!~"]),
        "lower" => ascii(&[b"az"]),
        "print" => ascii(&[b" ~"]),
        "punct" => ascii(&[b"!/", b":@", b"[`", b"{~"]),
        "space" => ascii(&[b"\t\r", b"  "]),
        "upper" => ascii(&[b"AZ"]),
        "word" => ascii(&[b"09", b"AZ", b"__", b"az"]),
        "xdigit" => ascii(&[b"09", b"AF", b"af"]),
        _ => return None,
    })
}

/// Returns the class `\p{name}`: a general category, with its aliases, or a script. As since Go 1.25, case, spaces, `_` and
/// `-` are ignored.
pub(super) fn unicode(name: &str) -> Option<ClassUnicode> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-');
    if !name.chars().all(known) {
        return None;
    }
    let mut name = name.to_ascii_lowercase();
    name.retain(|c| !matches!(c, ' ' | '_' | '-'));
    if SCRIPTS.binary_search(&name.as_str()).is_ok() {
        return property("sc", &name);
    }
    match name.as_str() {
        // Surrogates, which no text contains.
        "cs" | "surrogate" => Some(ClassUnicode::empty()),
        // The regex crate accepts `isLu` for `Lu`, RE2 does not.
        "" => None,
        name if name.starts_with("is") => None,
        name => property("gc", name),
    }
}

fn property(kind: &str, name: &str) -> Option<ClassUnicode> {
    let tree = regex_syntax::parse(&format!(r"\p{{{kind}={name}}}")).ok()?;
    match tree.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A class of one character is a literal.
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
        }
        _ => None,
    }
}

/// Adds the other cases of the class's characters.
pub(super) fn fold(class: &mut ClassUnicode) {
    // Folding visits each character of a range, and few of them have another case.
    let mut cased = class.clone();
    cased.intersect(&CASED);
    cased.case_fold_simple();
    class.union(&cased);
}

/// A class with every character that has another case, and some that have none.
static CASED: LazyLock<ClassUnicode> = LazyLock::new(|| {
    let tree = regex_syntax::parse(r"[\p{CWCM}\p{CWCF}]").map(regex_syntax::hir::Hir::into_kind);
    match tree {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        // Slower, and correct too.
        _ => ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]),
    }
});

/// The scripts of Unicode 15 by their long names, as in Go's `unicode.Scripts`, in lower case and without `_`.
const SCRIPTS: [&str; 163] = [
    "adlam",
    "ahom",
    "anatolianhieroglyphs",
    "arabic",
    "armenian",
    "avestan",
    "balinese",
    "bamum",
    "bassavah",
    "batak",
    "bengali",
    "bhaiksuki",
    "bopomofo",
    "brahmi",
    "braille",
    "buginese",
    "buhid",
    "canadianaboriginal",
    "carian",
    "caucasianalbanian",
    "chakma",
    "cham",
    "cherokee",
    "chorasmian",
    "common",
    "coptic",
    "cuneiform",
    "cypriot",
    "cyprominoan",
    "cyrillic",
    "deseret",
    "devanagari",
    "divesakuru",
    "dogra",
    "duployan",
    "egyptianhieroglyphs",
    "elbasan",
    "elymaic",
    "ethiopic",
    "georgian",
    "glagolitic",
    "gothic",
    "grantha",
    "greek",
    "gujarati",
    "gunjalagondi",
    "gurmukhi",
    "han",
    "hangul",
    "hanifirohingya",
    "hanunoo",
    "hatran",
    "hebrew",
    "hiragana",
    "imperialaramaic",
    "inherited",
    "inscriptionalpahlavi",
    "inscriptionalparthian",
    "javanese",
    "kaithi",
    "kannada",
    "katakana",
    "kawi",
    "kayahli",
    "kharoshthi",
    "khitansmallscript",
    "khmer",
    "khojki",
    "khudawadi",
    "lao",
    "latin",
    "lepcha",
    "limbu",
    "lineara",
    "linearb",
    "lisu",
    "lycian",
    "lydian",
    "mahajani",
    "makasar",
    "malayalam",
    "mandaic",
    "manichaean",
    "marchen",
    "masaramgondi",
    "medefaidrin",
    "meeteimayek",
    "mendekikakui",
    "meroiticcursive",
    "meroitichieroglyphs",
    "miao",
    "modi",
    "mongolian",
    "mro",
    "multani",
    "myanmar",
    "nabataean",
    "nagmundari",
    "nandinagari",
    "newa",
    "newtailue",
    "nko",
    "nushu",
    "nyiakengpuachuehmong",
    "ogham",
    "olchiki",
    "oldhungarian",
    "olditalic",
    "oldnortharabian",
    "oldpermic",
    "oldpersian",
    "oldsogdian",
    "oldsoutharabian",
    "oldturkic",
    "olduyghur",
    "oriya",
    "osage",
    "osmanya",
    "pahawhhmong",
    "palmyrene",
    "paucinhau",
    "phagspa",
    "phoenician",
    "psalterpahlavi",
    "rejang",
    "runic",
    "samaritan",
    "saurashtra",
    "sharada",
    "shavian",
    "siddham",
    "signwriting",
    "sinhala",
    "sogdian",
    "sorasompeng",
    "soyombo",
    "sundanese",
    "sylotinagri",
    "syriac",
    "tagalog",
    "tagbanwa",
    "taile",
    "taitham",
    "taiviet",
    "takri",
    "tamil",
    "tangsa",
    "tangut",
    "telugu",
    "thaana",
    "thai",
    "tibetan",
    "tifinagh",
    "tirhuta",
    "toto",
    "ugaritic",
    "vai",
    "vithkuqi",
    "wancho",
    "warangciti",
    "yezidi",
    "yi",
    "zanabazarsquare",
];
