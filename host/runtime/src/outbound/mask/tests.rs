//! Credentials are masked in every escaping and encoding, and other text stays.

#![allow(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

/// A secret with all characters that escapers change.
const MARKS: &str = "pa's\"s<w>o&r/d+=%\\ é€😀~-_.!*()";

/// A typical secret.
const USUAL: &str = "ghp/S3cr+t\"&<k>=?~x 9";

/// What the named escapers and encoders make of each; generated with them if Python has them.
const ECHOES: [(&str, &str, &str); 82] = [
    (MARKS, "raw", "pa's\"s<w>o&r/d+=%\\ é€😀~-_.!*()"),
    (
        MARKS,
        "Go's encoding/json",
        "pa's\\\"s\\u003cw\\u003eo\\u0026r/d+=%\\\\ é€😀~-_.!*()",
    ),
    (
        MARKS,
        "Python's json.dumps",
        "pa's\\\"s<w>o&r/d+=%\\\\ \\u00e9\\u20ac\\ud83d\\ude00~-_.!*()",
    ),
    (
        MARKS,
        "PHP's json_encode",
        "pa's\\\"s<w>o&r\\/d+=%\\\\ \\u00e9\\u20ac\\ud83d\\ude00~-_.!*()",
    ),
    (
        MARKS,
        "PHP's json_encode with every JSON_HEX_ option",
        "pa\\u0027s\\u0022s\\u003Cw\\u003Eo\\u0026r\\/d+=%\\\\ \\u00e9\\u20ac\\ud83d\\ude00~-_.!*()",
    ),
    (
        MARKS,
        ".NET's System.Text.Json",
        "pa\\u0027s\\u0022s\\u003Cw\\u003Eo\\u0026r/d\\u002B=%\\\\ \\u00E9\\u20AC\\uD83D\\uDE00~-_.!*()",
    ),
    (
        MARKS,
        "JSON with every character escaped",
        "\\u0070\\u0061\\u0027\\u0073\\u0022\\u0073\\u003c\\u0077\\u003e\\u006f\\u0026\\u0072\\u002f\\u0064\\u002b\\u003d\\u0025\\u005c\\u0020\\u00e9\\u20ac\\ud83d\\ude00\\u007e\\u002d\\u005f\\u002e\\u0021\\u002a\\u0028\\u0029",
    ),
    (
        MARKS,
        "JavaScript's encodeURIComponent",
        "pa's%22s%3Cw%3Eo%26r%2Fd%2B%3D%25%5C%20%C3%A9%E2%82%AC%F0%9F%98%80~-_.!*()",
    ),
    (
        MARKS,
        "JavaScript's encodeURI",
        "pa's%22s%3Cw%3Eo&r/d+=%25%5C%20%C3%A9%E2%82%AC%F0%9F%98%80~-_.!*()",
    ),
    (
        MARKS,
        "JavaScript's escape",
        "pa%27s%22s%3Cw%3Eo%26r/d+%3D%25%5C%20%E9%u20AC%uD83D%uDE00%7E-_.%21*%28%29",
    ),
    (
        MARKS,
        "Python's urllib.parse.quote",
        "pa%27s%22s%3Cw%3Eo%26r/d%2B%3D%25%5C%20%C3%A9%E2%82%AC%F0%9F%98%80~-_.%21%2A%28%29",
    ),
    (
        MARKS,
        "Python's urllib.parse.quote_plus",
        "pa%27s%22s%3Cw%3Eo%26r%2Fd%2B%3D%25%5C+%C3%A9%E2%82%AC%F0%9F%98%80~-_.%21%2A%28%29",
    ),
    (
        MARKS,
        "percent-encoding in lower case",
        "%70%61%27%73%22%73%3c%77%3e%6f%26%72%2f%64%2b%3d%25%5c%20%c3%a9%e2%82%ac%f0%9f%98%80%7e%2d%5f%2e%21%2a%28%29",
    ),
    (
        MARKS,
        "percent-encoding twice",
        "pa%2527s%2522s%253Cw%253Eo%2526r%252Fd%252B%253D%2525%255C%2520%25C3%25A9%25E2%2582%25AC%25F0%259F%2598%2580~-_.%2521%252A%2528%2529",
    ),
    (
        MARKS,
        "Python's html.escape",
        "pa&#x27;s&quot;s&lt;w&gt;o&amp;r/d+=%\\ é€😀~-_.!*()",
    ),
    (
        MARKS,
        "Go's html.EscapeString",
        "pa&#39;s&#34;s&lt;w&gt;o&amp;r/d+=%\\ é€😀~-_.!*()",
    ),
    (
        MARKS,
        "PHP's htmlspecialchars",
        "pa&#039;s&quot;s&lt;w&gt;o&amp;r/d+=%\\ é€😀~-_.!*()",
    ),
    (
        MARKS,
        "HTML in decimal",
        "&#112;&#97;&#39;&#115;&#34;&#115;&#60;&#119;&#62;&#111;&#38;&#114;&#47;&#100;&#43;&#61;&#37;&#92;&#32;&#233;&#8364;&#128512;&#126;&#45;&#95;&#46;&#33;&#42;&#40;&#41;",
    ),
    (
        MARKS,
        "HTML in hexadecimal, upper case",
        "&#X000070;&#X000061;&#X000027;&#X000073;&#X000022;&#X000073;&#X00003C;&#X000077;&#X00003E;&#X00006F;&#X000026;&#X000072;&#X00002F;&#X000064;&#X00002B;&#X00003D;&#X000025;&#X00005C;&#X000020;&#X0000E9;&#X0020AC;&#X01F600;&#X00007E;&#X00002D;&#X00005F;&#X00002E;&#X000021;&#X00002A;&#X000028;&#X000029;",
    ),
    (
        MARKS,
        "HTML within Go's JSON",
        "pa\\u0026#x27;s\\u0026quot;s\\u0026lt;w\\u0026gt;o\\u0026amp;r/d+=%\\\\ é€😀~-_.!*()",
    ),
    (
        MARKS,
        "JSON within JSON",
        "pa's\\\\\\\"s<w>o&r/d+=%\\\\\\\\ \\\\u00e9\\\\u20ac\\\\ud83d\\\\ude00~-_.!*()",
    ),
    (
        MARKS,
        "JSON within JSON within a URL",
        "pa%27s%5C%5C%5C%22s%3Cw%3Eo%26r/d%2B%3D%25%5C%5C%5C%5C%20%5C%5Cu00e9%5C%5Cu20ac%5C%5Cud83d%5C%5Cude00~-_.%21%2A%28%29",
    ),
    (
        MARKS,
        "Python's repr of its bytes",
        "pa\\'s\"s<w>o&r/d+=%\\\\ \\xc3\\xa9\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80~-_.!*()",
    ),
    (
        MARKS,
        "Python's repr",
        "pa\\'s\"s<w>o&r/d+=%\\\\ \\xe9\\u20ac\\U0001f600~-_.!*()",
    ),
    (
        MARKS,
        "quoted-printable",
        "pa's\"s<w>o&r/d+=3D%\\ =C3=A9=E2=82=AC=F0=9F=98=80~-_.!*()",
    ),
    (
        MARKS,
        "base64",
        "cGEncyJzPHc+byZyL2QrPSVcIMOp4oKs8J+YgH4tXy4hKigp",
    ),
    (
        MARKS,
        "base64 for URLs, without padding",
        "cGEncyJzPHc-byZyL2QrPSVcIMOp4oKs8J-YgH4tXy4hKigp",
    ),
    (
        MARKS,
        "base64 in lines",
        "eHh4eHh4eHh4eHh4eHh4eHh4eHhwYS\r\n dzInM8dz5vJnIvZCs9JVwgw6nigqzwn5iAfi1fLiEqKCl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eQ==",
    ),
    (
        MARKS,
        "base64 in PHP's JSON",
        "cGEncyJzPHc+byZyL2QrPSVcIMOp4oKs8J+YgH4tXy4hKigp",
    ),
    (
        MARKS,
        "base64 in lines in JSON",
        "cGEncyJzPHc+byZyL2QrPSVcIMOp4oKs8J+YgH4tXy4hKigpcGEncyJzPHc+byZyL2QrPSVcIMOp\\n4oKs8J+YgH4tXy4hKigpcGEncyJzPHc+byZyL2QrPSVcIMOp4oKs8J+YgH4tXy4hKigp\\n",
    ),
    (
        MARKS,
        "base64 in a URL",
        "cGEncyJzPHc%2BbyZyL2QrPSVcIMOp4oKs8J%2BYgH4tXy4hKigp",
    ),
    (
        MARKS,
        "base64 of Go's JSON",
        "eyJ0b2tlbiI6InBhJ3NcInNcdTAwM2N3XHUwMDNlb1x1MDAyNnIvZCs9JVxcIMOp4oKs8J+YgH4tXy4hKigpIn0=",
    ),
    (
        MARKS,
        "base64 of base64",
        "ZFhObGNqcHdZU2R6SW5NOGR6NXZKbkl2WkNzOUpWd2d3Nm5pZ3F6d241aUFmaTFmTGlFcUtDaz0=",
    ),
    (
        MARKS,
        "hexadecimal",
        "7061277322733c773e6f26722f642b3d255c20c3a9e282acf09f98807e2d5f2e212a2829",
    ),
    (
        MARKS,
        "hexadecimal, upper case",
        "7061277322733C773E6F26722F642B3D255C20C3A9E282ACF09F98807E2D5F2E212A2829",
    ),
    (
        MARKS,
        "a dump",
        "70 61 27 73 22 73 3c 77 3e 6f 26 72 2f 64 2b 3d 25 5c 20 c3 a9 e2 82 ac f0 9f 98 80 7e 2d 5f 2e 21 2a 28 29",
    ),
    (
        MARKS,
        "a fingerprint",
        "70:61:27:73:22:73:3C:77:3E:6F:26:72:2F:64:2B:3D:25:5C:20:C3:A9:E2:82:AC:F0:9F:98:80:7E:2D:5F:2E:21:2A:28:29",
    ),
    (
        MARKS,
        "hexadecimal of base64",
        "6347456e63794a7a5048632b62795a794c32517250535663494d4f70346f4b73384a2b5967483474587934684b696770",
    ),
    (
        MARKS,
        "Node's Buffer",
        "{\"type\":\"Buffer\",\"data\":[112,97,39,115,34,115,60,119,62,111,38,114,47,100,43,61,37,92,32,195,169,226,130,172,240,159,152,128,126,45,95,46,33,42,40,41]}",
    ),
    (
        MARKS,
        "a list of bytes",
        "[\n 112,\n 97,\n 39,\n 115,\n 34,\n 115,\n 60,\n 119,\n 62,\n 111,\n 38,\n 114,\n 47,\n 100,\n 43,\n 61,\n 37,\n 92,\n 32,\n 195,\n 169,\n 226,\n 130,\n 172,\n 240,\n 159,\n 152,\n 128,\n 126,\n 45,\n 95,\n 46,\n 33,\n 42,\n 40,\n 41\n]",
    ),
    (MARKS, "capitals", "pa's\"s<w>o&r/d+=%\\ é€😀~-_.!*()"),
    (USUAL, "raw", "ghp/S3cr+t\"&<k>=?~x 9"),
    (
        USUAL,
        "Go's encoding/json",
        "ghp/S3cr+t\\\"\\u0026\\u003ck\\u003e=?~x 9",
    ),
    (USUAL, "Python's json.dumps", "ghp/S3cr+t\\\"&<k>=?~x 9"),
    (USUAL, "PHP's json_encode", "ghp\\/S3cr+t\\\"&<k>=?~x 9"),
    (
        USUAL,
        "PHP's json_encode with every JSON_HEX_ option",
        "ghp\\/S3cr+t\\u0022\\u0026\\u003Ck\\u003E=?~x 9",
    ),
    (
        USUAL,
        ".NET's System.Text.Json",
        "ghp/S3cr\\u002Bt\\u0022\\u0026\\u003Ck\\u003E=?~x 9",
    ),
    (
        USUAL,
        "JSON with every character escaped",
        "\\u0067\\u0068\\u0070\\u002f\\u0053\\u0033\\u0063\\u0072\\u002b\\u0074\\u0022\\u0026\\u003c\\u006b\\u003e\\u003d\\u003f\\u007e\\u0078\\u0020\\u0039",
    ),
    (
        USUAL,
        "JavaScript's encodeURIComponent",
        "ghp%2FS3cr%2Bt%22%26%3Ck%3E%3D%3F~x%209",
    ),
    (
        USUAL,
        "JavaScript's encodeURI",
        "ghp/S3cr+t%22&%3Ck%3E=?~x%209",
    ),
    (
        USUAL,
        "JavaScript's escape",
        "ghp/S3cr+t%22%26%3Ck%3E%3D%3F%7Ex%209",
    ),
    (
        USUAL,
        "Python's urllib.parse.quote",
        "ghp/S3cr%2Bt%22%26%3Ck%3E%3D%3F~x%209",
    ),
    (
        USUAL,
        "Python's urllib.parse.quote_plus",
        "ghp%2FS3cr%2Bt%22%26%3Ck%3E%3D%3F~x+9",
    ),
    (
        USUAL,
        "percent-encoding in lower case",
        "%67%68%70%2f%53%33%63%72%2b%74%22%26%3c%6b%3e%3d%3f%7e%78%20%39",
    ),
    (
        USUAL,
        "percent-encoding twice",
        "ghp%252FS3cr%252Bt%2522%2526%253Ck%253E%253D%253F~x%25209",
    ),
    (
        USUAL,
        "Python's html.escape",
        "ghp/S3cr+t&quot;&amp;&lt;k&gt;=?~x 9",
    ),
    (
        USUAL,
        "Go's html.EscapeString",
        "ghp/S3cr+t&#34;&amp;&lt;k&gt;=?~x 9",
    ),
    (
        USUAL,
        "PHP's htmlspecialchars",
        "ghp/S3cr+t&quot;&amp;&lt;k&gt;=?~x 9",
    ),
    (
        USUAL,
        "HTML in decimal",
        "&#103;&#104;&#112;&#47;&#83;&#51;&#99;&#114;&#43;&#116;&#34;&#38;&#60;&#107;&#62;&#61;&#63;&#126;&#120;&#32;&#57;",
    ),
    (
        USUAL,
        "HTML in hexadecimal, upper case",
        "&#X000067;&#X000068;&#X000070;&#X00002F;&#X000053;&#X000033;&#X000063;&#X000072;&#X00002B;&#X000074;&#X000022;&#X000026;&#X00003C;&#X00006B;&#X00003E;&#X00003D;&#X00003F;&#X00007E;&#X000078;&#X000020;&#X000039;",
    ),
    (
        USUAL,
        "HTML within Go's JSON",
        "ghp/S3cr+t\\u0026quot;\\u0026amp;\\u0026lt;k\\u0026gt;=?~x 9",
    ),
    (USUAL, "JSON within JSON", "ghp/S3cr+t\\\\\\\"&<k>=?~x 9"),
    (
        USUAL,
        "JSON within JSON within a URL",
        "ghp/S3cr%2Bt%5C%5C%5C%22%26%3Ck%3E%3D%3F~x%209",
    ),
    (
        USUAL,
        "Python's repr of its bytes",
        "ghp/S3cr+t\"&<k>=?~x 9",
    ),
    (USUAL, "Python's repr", "ghp/S3cr+t\"&<k>=?~x 9"),
    (USUAL, "quoted-printable", "ghp/S3cr+t\"&<k>=3D?~x 9"),
    (USUAL, "base64", "Z2hwL1MzY3IrdCImPGs+PT9+eCA5"),
    (
        USUAL,
        "base64 for URLs, without padding",
        "Z2hwL1MzY3IrdCImPGs-PT9-eCA5",
    ),
    (
        USUAL,
        "base64 in lines",
        "eHh4eHh4eHh4eHh4eHh4eHh4eHhnaH\r\n AvUzNjcit0IiY8az49P354IDl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eQ==",
    ),
    (
        USUAL,
        "base64 in PHP's JSON",
        "Z2hwL1MzY3IrdCImPGs+PT9+eCA5",
    ),
    (
        USUAL,
        "base64 in lines in JSON",
        "Z2hwL1MzY3IrdCImPGs+PT9+eCA5Z2hwL1MzY3IrdCImPGs+PT9+eCA5Z2hwL1MzY3IrdCImPGs+\\nPT9+eCA5\\n",
    ),
    (USUAL, "base64 in a URL", "Z2hwL1MzY3IrdCImPGs%2BPT9%2BeCA5"),
    (
        USUAL,
        "base64 of Go's JSON",
        "eyJ0b2tlbiI6ImdocC9TM2NyK3RcIlx1MDAyNlx1MDAzY2tcdTAwM2U9P354IDkifQ==",
    ),
    (
        USUAL,
        "base64 of base64",
        "ZFhObGNqcG5hSEF2VXpOamNpdDBJaVk4YXo0OVAzNTRJRGs9",
    ),
    (
        USUAL,
        "hexadecimal",
        "6768702f533363722b7422263c6b3e3d3f7e782039",
    ),
    (
        USUAL,
        "hexadecimal, upper case",
        "6768702F533363722B7422263C6B3E3D3F7E782039",
    ),
    (
        USUAL,
        "a dump",
        "67 68 70 2f 53 33 63 72 2b 74 22 26 3c 6b 3e 3d 3f 7e 78 20 39",
    ),
    (
        USUAL,
        "a fingerprint",
        "67:68:70:2F:53:33:63:72:2B:74:22:26:3C:6B:3E:3D:3F:7E:78:20:39",
    ),
    (
        USUAL,
        "hexadecimal of base64",
        "5a3268774c314d7a593349726443496d5047732b5054392b65434135",
    ),
    (
        USUAL,
        "Node's Buffer",
        "{\"type\":\"Buffer\",\"data\":[103,104,112,47,83,51,99,114,43,116,34,38,60,107,62,61,63,126,120,32,57]}",
    ),
    (
        USUAL,
        "a list of bytes",
        "[\n 103,\n 104,\n 112,\n 47,\n 83,\n 51,\n 99,\n 114,\n 43,\n 116,\n 34,\n 38,\n 60,\n 107,\n 62,\n 61,\n 63,\n 126,\n 120,\n 32,\n 57\n]",
    ),
    (USUAL, "capitals", "GHP/S3CR+T\"&<K>=?~X 9"),
];

fn masked(secret: &str, body: &str) -> String {
    let mut response = OutboundResponse {
        status: 200,
        headers: vec![("x-echo".to_owned(), body.to_owned())],
        body: body.as_bytes().to_vec(),
    };
    Masks::of(&[secret]).apply(&mut response);
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.headers[0].1, body, "headers and body alike");
    body
}

#[test]
fn an_answer_that_repeats_the_credential_is_masked() {
    for (secret, body, expected) in [
        (
            "hunter22",
            "a hunter22 b hunter22",
            "a [credential] b [credential]",
        ),
        ("hunter22", "a HUNTER22", "a [credential]"),
        ("hunter22", "hunter2 hunter", "hunter2 hunter"),
        ("hunter22", "hunterhunter22", "hunter[credential]"),
        ("aaaaab", "aaaaaaaab", "aaa[credential]"),
        ("abc", "abc", "abc"),
        ("abc%41xyz", "abc%41xyz", "[credential]"),
        (
            "abc&amp;xyz",
            "abc&amp;xyz abc&amp;amp;xyz",
            "[credential] [credential]",
        ),
        ("a\\b/c%2F", r"a\\b\/c%2F", "[credential]"),
        ("hunter22", "h\0u\0n\0t\0e\0r\x002\x002\0", "[credential]\0"),
    ] {
        assert_eq!(masked(secret, body), expected, "{secret} in {body}");
    }
}

#[test]
fn no_escaper_and_no_encoder_that_services_echo_with_gives_it_back() {
    for (secret, what, echo) in ECHOES {
        for echo in [
            echo.to_owned(),
            format!("{{\"token\":\"{echo}\"}}"),
            format!("/a/{echo}/b?c={echo}&d"),
        ] {
            let masked = masked(secret, &echo);
            assert!(masked.contains(MASK), "{what}: {echo} is as it was");
            let left = masked.replace(MASK, "").len();
            // For base64 in lines, the text around it stays.
            let around = 160 + echo.len() / 4;
            assert!(left <= around, "{what}: {echo} left {masked}");
        }
    }
}

#[test]
fn base64_is_read_wherever_the_credential_begins_in_it() {
    for before in ["", "a", "ab", "Bearer ", "user:"] {
        for after in ["", "z", "zz"] {
            let text = format!("{before}{USUAL}{after}");
            for echo in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                let left = masked(USUAL, &format!("token/{echo}")).replace(MASK, "");
                // At the ends, symbols that hold none of it.
                assert!(left.len() <= 18, "{echo} left {left}");
            }
        }
    }
}

#[test]
fn each_character_may_be_spelt_in_another_way() {
    let secret = "Tok3n<&>/x";
    let spellings = |c: char| {
        let code = u32::from(c);
        [
            c.to_string(),
            format!("%{code:02x}"),
            format!("%{code:02X}"),
            format!("\\u{code:04x}"),
            format!("\\x{code:02x}"),
            format!("&#{code};"),
            format!("&#x{code:X};"),
            format!("%25{code:02x}"),
            format!("\\\\u{code:04X}"),
            format!("&amp;#{code:05};"),
            format!("%26%23{code}%3B"),
        ]
    };
    let mut dice = 7_usize;
    for _ in 0..100 {
        let echo: String = secret
            .chars()
            .map(|c| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let spellings = spellings(c);
                spellings[(dice >> 33) % spellings.len()].clone()
            })
            .collect();
        assert_eq!(masked(secret, &echo), MASK, "{echo}");
    }
}

#[test]
fn headers_about_the_unmasked_body_or_named_like_the_credential_are_removed() {
    let mut response = OutboundResponse {
        status: 200,
        headers: [("ETag", "\"1\""), ("x-hunter22", "1"), ("date", "now")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: b"hunter22".to_vec(),
    };
    let masks = Masks::of(&["hunter22"]);
    masks.apply(&mut response);
    assert_eq!(response.headers, [("date".to_owned(), "now".to_owned())]);
    response.headers = vec![("ETag".to_owned(), "\"1\"".to_owned())];
    masks.apply(&mut response);
    assert_eq!(response.headers.len(), 1, "nothing was masked in the body");
}

#[test]
fn texts_that_are_made_to_take_long_are_searched_too() {
    let secret = "\\\\\\%%%&&&===aaaaaaaaaaaaaaaaaaaab";
    for piece in [
        "\\",
        "%25",
        "&amp;",
        "=",
        "a",
        "\\\\%25&amp;",
        "A\n",
        "0",
        "1,",
        "\\u005c",
    ] {
        let body = piece.repeat(2_000 / piece.len());
        let left = masked(secret, &body);
        // Unchanged, or masked as a whole.
        assert!(left == body || left == MASK, "{piece}: {left}");
    }
}

#[test]
fn a_text_that_takes_too_many_steps_to_search_is_masked_as_a_whole() {
    // The secret's own beginning, again and again, from each byte on.
    let secret = format!("{}b", "a".repeat(4_000));
    let body = "a".repeat(100_000);
    assert_eq!(masked(&secret, &body), MASK);
    // Each of so many backslashes begins readings of up to eight.
    assert_eq!(masked("hunter22", &"\\".repeat(20_000)), MASK);
    // Three secrets, and the text that took a second for each two thousand bytes.
    let masks = Masks::of(&["hunter22", "correct horse", "battery staple"]);
    for piece in ["&", "&amp;", "%25&amp;", "\"a\": \"\\\"b\\\"\", "] {
        let body = piece.repeat(20_000 / piece.len());
        assert_eq!(masks.masked(body.as_bytes()), None, "{piece}");
    }
}

#[test]
fn lists_of_bytes_are_read_as_each_language_prints_them() {
    let list = |separator: &str, each: fn(u8) -> String| -> String {
        let bytes: Vec<String> = "hunter22".bytes().map(each).collect();
        bytes.join(separator)
    };
    let decimal: fn(u8) -> String = |byte| byte.to_string();
    let hexadecimal: fn(u8) -> String = |byte| format!("0x{byte:02x}");
    for list in [
        list(" ", decimal),
        list("; ", decimal),
        list(",", decimal),
        list(",\n            ", decimal),
        list(", ", hexadecimal),
        list(" ", hexadecimal),
        list(",\r\n\t", |byte| format!("0X{byte:02X}")),
    ] {
        for text in [
            list.clone(),
            format!("[{list}]"),
            format!("14\n{list}"),
            format!("300 {list} 7"),
            format!("0xfff,{list}"),
        ] {
            assert!(masked("hunter22", &text).contains(MASK), "{text}");
        }
    }
    let other = "[104, 117, 110] a 0x 0xg 1,2,3;4 99999999999999999999";
    assert_eq!(masked("hunter22", other), other);
}

#[test]
fn masks_side_by_side_are_one() {
    assert_eq!(masked("hunter22", &"hunter22".repeat(100)), MASK);
}
