//! Tables of what Go 1.25's `regexp` accepts and how it interprets it.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[track_caller]
fn check(cases: &[(&str, &[&str], &[&str])]) {
    for (expression, good, bad) in cases {
        let regex = Re2::whole(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
        for value in *good {
            assert!(regex.is_match(value), "{expression} on {value:?}");
        }
        for value in *bad {
            assert!(!regex.is_match(value), "{expression} on {value:?}");
        }
    }
}

#[test]
fn perl_and_posix_classes_are_ascii() {
    check(&[
        (r"\w+", &["aZ_9"], &["ü", "ſ", ""]),
        (r"\W+", &["ü-", "\u{212a}"], &["a"]),
        (r"\d", &["7"], &["٣"]),
        (r"\D", &["٣"], &["7"]),
        (
            r"\s",
            &[" ", "\t", "\n", "\r", "\u{c}"],
            &["\u{b}", "\u{a0}", "\u{85}"],
        ),
        (r"\S", &["\u{b}", "\u{a0}"], &[" "]),
        ("[[:alpha:]]", &["a", "Z"], &["ä", "1"]),
        ("[[:space:]]", &["\u{b}", "\n"], &["\u{a0}"]),
        ("[[:^digit:]x]", &["a", "x", "\n", "٣"], &["1"]),
        ("[[:word:]-]+", &["a-_"], &["."]),
        ("[[:punct:]]", &["!", "~", "[", "`"], &["a", "€"]),
        ("[[:cntrl:]]", &["\u{7f}", "\0"], &[" "]),
        ("[[:graph:]]", &["!"], &[" "]),
        ("[[:print:]]", &[" "], &["\n"]),
        ("[[:xdigit:]]", &["f", "F"], &["g"]),
    ]);
}

#[test]
fn word_boundaries_are_ascii() {
    check(&[
        (r"\bfoo\b.*", &["foo", "foo bar", "fooü"], &["foob"]),
        (r"f\bü.*", &["führung"], &[]),
        (r"a\Bb", &["ab"], &[]),
        (r"ü\Bü", &["üü"], &[]),
        (r"a\bb", &[], &["ab"]),
    ]);
}

#[test]
fn brackets_braces_and_dashes_may_be_themselves() {
    check(&[
        (r"[\w-,]+", &["a-b,c"], &["a b"]),
        ("[a-c-e]+", &["a-ce", "b"], &["d"]),
        ("[--a]", &["-", ".", "Z", "a"], &[",", "b"]),
        ("[-a]", &["-", "a"], &["b"]),
        ("[a-]", &["-", "a"], &["b"]),
        ("[]a]", &["]", "a"], &["["]),
        ("[^]a]", &["b", "\n"], &["]", "a"]),
        ("[[a]", &["[", "a"], &["]"]),
        ("[a&&b]+", &["a&b"], &["c"]),
        ("[!--b]", &["!", ",", "-", "b"], &["a", "."]),
        ("[a~~b]", &["~"], &["-"]),
        ("[a[b]c]", &["ac]", "[c]"], &["b"]),
        ("[[:x]", &["[", ":", "x"], &["y"]),
        ("a{gid}", &["a{gid}"], &["a"]),
        ("a{,2}", &["a{,2}"], &["a", "aa"]),
        ("a{2", &["a{2"], &["aa"]),
        ("a{01}", &["a{01}"], &["a"]),
        ("a{1,02}", &["a{1,02}"], &[]),
        ("{x}", &["{x}"], &[]),
        ("}", &["}"], &[]),
        ("a]", &["a]"], &[]),
        ("# x y", &["# x y"], &["xy"]),
    ]);
}

#[test]
fn escapes_are_those_of_re2() {
    check(&[
        (r"\Qa.b\E+", &["a.b", "a.bbb"], &["axb"]),
        (r"\Q\E", &[""], &["Q"]),
        (r"\Q[\E\Q]\E", &["[]"], &[]),
        (r"a\Q\\E", &["a\\"], &[]),
        (r"\101\60\0", &["A0\0"], &[]),
        (r"\1234", &["S4"], &[]),
        (r"\777", &["ǿ"], &["\u{1f}7"]),
        (r"\08", &["\u{0}8"], &[]),
        (r"[\101-\103]", &["B"], &["D"]),
        (r"\x41\x{42}\x{10FFFF}", &["AB\u{10ffff}"], &[]),
        (r"\x{00000000000041}", &["A"], &[]),
        (r"\a\f\n\r\t\v", &["\u{7}\u{c}\n\r\t\u{b}"], &[]),
        (r"\.\-\_\!\~\ \/\#\&", &[".-_!~ /#&"], &[]),
        (r"[\x{D800}-\x{E000}]", &["\u{e000}"], &["\u{d7ff}"]),
        (r"\x{D800}|a", &["a"], &[""]),
        (r"\Ab\z", &["b"], &["b\n"]),
        ("a$", &["a"], &["a\n"]),
        ("(?m)a$.*(?s:.*)", &["a\nb"], &["ab"]),
        ("(?m:^b|a|\n)*", &["a\nb", "b"], &["ab"]),
        (".*", &["", "ä"], &["a\n"]),
        ("(?s).*", &["a\n"], &[]),
        ("[^a]", &["\n"], &[]),
    ]);
}

#[test]
fn unicode_classes_are_categories_and_scripts() {
    check(&[
        (r"\pL+", &["aÄß"], &["1"]),
        (r"\PL", &["1"], &["a"]),
        (r"\p{^L}", &["1"], &["a"]),
        (r"\P{^L}", &["a"], &["1"]),
        (r"\pN", &["1", "Ⅷ", "٣"], &["a"]),
        (r"[\pN_]+", &["_1"], &["a"]),
        (r"\p{Greek}", &["α"], &["a"]),
        (
            r"\p{Old_Italic}\p{Nko}\p{SignWriting}?",
            &["\u{10300}\u{7ca}"],
            &[],
        ),
        (r"\p{Lu}\p{Nd}\p{Zs}", &["A1\u{a0}"], &[]),
        (
            r"\p{Letter}\p{greek}\p{lowercase letter}\p{LC}",
            &["aαbC"],
            &[],
        ),
        (r"\p{Any}\p{ASCII}\p{Assigned}", &["äaa"], &["äää\u{378}"]),
        (r"\pC\p{Cn}?", &["\0", "\u{378}"], &["a"]),
        (r"\p{Cs}|x", &["x"], &["\u{d7ff}"]),
        (r"\p{Zl}", &["\u{2028}"], &[]),
    ]);
}

#[test]
fn case_is_folded_as_unicode_folds_it_character_by_character() {
    check(&[
        ("(?i)strasse", &["STRASSE", "ſtrasse"], &["straße"]),
        ("(?i)k", &["K", "\u{212a}"], &[]),
        ("(?i)é|ß", &["É", "ẞ"], &["E"]),
        ("(?i)σ", &["Σ", "ς"], &[]),
        ("(?i)i", &["I"], &["İ", "ı"]),
        ("a(?i)b", &["ab", "aB"], &["Ab"]),
        ("(?i:a)b", &["Ab"], &["AB"]),
        ("(?i)a(?-i)b", &["Ab"], &["AB"]),
        ("a(?i)b|c", &["aB", "C"], &["AB"]),
        ("(a(?i)b)c", &["aBc"], &["aBC"]),
        ("(?i)[k-l]", &["K", "L", "\u{212a}"], &["m"]),
        ("(?i)[^k]", &["a"], &["k", "K", "\u{212a}"]),
        (r"(?i)\w", &["ſ", "\u{212a}"], &["ü"]),
        (r"(?i)\W", &["ü"], &["ſ", "K"]),
        (r"(?i)[^\W]", &["ſ", "K"], &["ü"]),
        ("(?i)[[:lower:]]", &["A", "ſ"], &["ü"]),
        ("(?i)[[:^lower:]]", &["1", "ü"], &["A", "ſ"]),
        (r"(?i)\p{Lu}", &["a", "ä", "A"], &["1"]),
        (r"(?i)\P{Lu}", &["1"], &["a", "A"]),
        ("(?i)[\\x00-\\x{10FFFF}]", &["a"], &[]),
        (r"\101(?i)\101\Qb\E", &["AaB"], &["aaB"]),
    ]);
}

#[test]
fn groups_and_flags_are_those_of_re2() {
    check(&[
        ("(?P<a_1>x)(?<n>y)(?P<n>z)", &["xyz"], &[]),
        ("(?U)a+?", &["aa"], &[]),
        ("(?)a(?is-Um:B.)", &["ab\n"], &[]),
        ("a||b|", &["a", "b", ""], &["ab"]),
        ("()*(?:)+|^*$*\\b*a", &["", "a"], &[]),
        ("a*?b+?c??d{1,2}?", &["bd", "aabbcdd"], &[]),
        ("a*(?i)*", &["aaa"], &[]),
        ("a(?i)*b", &["b", "aaB"], &[]),
        // The whole expression that Alertmanager compiles is valid: ^(?:a)(b)$.
        ("a)(b", &["ab"], &["b"]),
        ("a)|(b", &["ax", "xb"], &["xa"]),
    ]);
}

#[test]
fn what_re2_refuses_is_refused_and_the_reason_quotes_it() {
    let cases = [
        ("a**", "** repeats a repetition"),
        ("a*+", "*+ repeats a repetition"),
        ("a??*", "??* repeats a repetition"),
        ("a{2}{3}", "{2}{3} repeats a repetition"),
        ("a+{2}?", "+{2}? repeats a repetition"),
        ("*a", "* has nothing before it"),
        ("a|+", "+ has nothing before it"),
        ("(?:?)", "? has nothing before it"),
        ("{2}", "{2} has nothing before it"),
        ("a{1001}", "{1001} is over 1,000"),
        (
            "a{2,1}",
            "{2,1} is over 1,000 (nested ones are multiplied), or its end",
        ),
        ("a{0,99999999999999999999}", "is over 1,000"),
        ("a{1001,}", "is over 1,000"),
        ("(?:a{32}){32}", "{32} is over 1,000"),
        ("(?:(?:a{10,}|b){10})(?:c{9}d){200}", "{200} is over 1,000"),
        ("a(", "a closing ) is missing"),
        (r"\Qa", "a closing ) is missing"),
        (r"a\", "a closing ) is missing"),
        ("a))", "a ) closes nothing"),
        ("[a", "the closing ] of [a is missing"),
        ("[]", "the closing ] of [] is missing"),
        ("[^]", "the closing ] of [^] is missing"),
        (r"[\Q]\E", r"RE2 has no escape \Q"),
        (r"\C", r"RE2 has no escape \C"),
        (r"\Z", r"RE2 has no escape \Z"),
        (r"\G\h", r"RE2 has no escape \G"),
        (r"\1", r"RE2 has no escape \1"),
        (r"\8", r"RE2 has no escape \8"),
        (r"\E", r"RE2 has no escape \E"),
        (r"\ü", r"RE2 has no escape \ü"),
        (r"\u0041", r"RE2 has no escape \u"),
        (r"\x4", r"RE2 has no escape \x4"),
        (r"\x{}", r"RE2 has no escape \x{}"),
        (r"\x{110000}", r"RE2 has no escape \x{110000}"),
        (r"\x{41", r"RE2 has no escape \x{41:"),
        (r"[\b]", r"RE2 has no escape \b"),
        (r"[a-\d]", r"RE2 has no escape \d"),
        ("[b-a]", "the range b-a is not valid"),
        ("[a--b]", "the range a-- is not valid"),
        ("[[:foo:]]", "no class [:foo:]"),
        ("[[:x]:]", "no class [:x]:]"),
        (r"\p{Foo}", r"no class \p{Foo}"),
        (r"\p{Grek}", r"no class \p{Grek}"),
        (r"\p{isLu}", r"no class \p{isLu}"),
        (r"\p{sc=Greek}", r"no class \p{sc=Greek}"),
        (r"\p{}", r"no class \p{}"),
        (r"\px", r"no class \px"),
        (r"\p{L", r"no class \p{L:"),
        ("(?=a)", "no group (?="),
        ("(?!a)", "no group (?!"),
        ("(?<=a)", "no group (?<="),
        ("(?<!a)", "no group (?<!"),
        ("(?>a)", "no group (?>"),
        ("(?#a)", "no group (?#"),
        ("(?x)a", "no group (?x"),
        ("(?u)a", "no group (?u"),
        ("(?R)a", "no group (?R"),
        ("(?-)a", "no group (?-)"),
        ("(?i-)a", "no group (?i-)"),
        ("(?--i)a", "no group (?--"),
        ("(?P=n)", "no group (?P"),
        ("(?P<>a)", "(?P<> is not a valid name"),
        ("(?P<ä>a)", "(?P<ä> is not a valid name"),
        ("(?P<n", "(?P<n is not a valid name"),
    ];
    for (expression, part) in cases {
        let error = Re2::whole(expression).expect_err(expression).to_string();
        assert!(error.contains(part), "{expression}: {error}");
    }
    for expression in [
        "a{1000}",
        "(?:a{10}){100}",
        "(?:a{0}){1000}",
        "(?:(?:a{500})*){2}",
        "(?:a{1000}){0}",
        ".{1000}",
    ] {
        assert!(Re2::whole(expression).is_ok(), "{expression}");
    }
}

#[test]
fn what_is_too_large_or_too_deep_is_refused_and_what_is_not_is_compiled() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("{}a{}", open.repeat(depth), close.repeat(depth))
    };
    let deep = [
        ("(", ")", 998),
        ("(?:", ")*", 990),
        ("(?:b|", "c)", 498),
        ("(", "c|b)?", 249),
    ];
    // The thread of a test has a stack of 2 MiB, like those of the server.
    for (open, close, depth) in deep {
        let expression = nested(open, close, depth);
        assert!(Re2::whole(&expression).is_ok(), "{open}…{close}");
        let error = Re2::whole(&nested(open, close, 4 * depth)).unwrap_err();
        assert_eq!(error, Re2Error::Nesting, "{open}…{close}");
    }
    // The limit is Go's: 998 captures are accepted, and 999 are not.
    assert_eq!(
        Re2::whole(&nested("(", ")", 999)).unwrap_err(),
        Re2Error::Nesting
    );
    assert!(Re2::whole(&nested("(?:", ")", 100_000)).is_ok());
    for expression in [
        r"\pL".repeat(1_000),
        format!("[{}]", r"\pL".repeat(1_000)),
        "(?:[^a]b{999})".repeat(9_000),
    ] {
        assert_eq!(Re2::whole(&expression).unwrap_err(), Re2Error::TooLarge);
    }
}

#[test]
fn each_character_with_another_case_is_known() {
    let mut all =
        regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(
            '\0', 'ÿ',
        )]);
    for c in ('A'..='\u{1e943}').filter(|c| !c.is_ascii()) {
        let one = || {
            regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(c, c)])
        };
        let (mut slow, mut quick) = (one(), one());
        slow.case_fold_simple();
        class::fold(&mut quick);
        assert_eq!(slow, quick, "{c:?}");
    }
    class::fold(&mut all);
    assert!(all.ranges().iter().any(|range| range.start() == '\u{212a}'));
}
