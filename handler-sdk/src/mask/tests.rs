//! What is masked, what is not, and that a hostile text is scanned once.

use super::*;

#[track_caller]
fn check(plain: &str, expected: &str) {
    assert_eq!(text(plain), expected);
    assert_eq!(text(expected), expected, "masking twice");
}

#[test]
fn secrets_are_masked_by_their_shape() {
    check("key AKIAIOSFODNN7EXAMPLE used", "key AKIA[masked] used");
    check(
        "git clone with ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "git clone with ghp_[masked]",
    );
    check(
        "xoxb-123456789012-1234567890123-aBcDeFgHiJkLmNoPqRsTuVwX",
        "xoxb-[masked]",
    );
    check(
        "CLOJARS_fcdf65d226beb9215468c59de2dddf076ee60ff0253a87643939a0ad19f8",
        "CLOJARS_[masked]",
    );
    check(
        "AKCpKNAg7rjdmxQCzf72uzkUlXQ9E8pUH5RCC5wjNdnDAgzHLjVRuBklcDrHXJS9lg54DYQNH",
        "AKCp[masked]",
    );
    check("A3-JVSSPB-RLABEBDBCRB-YCSSR-LFLCM-NWNUK", "A3-[masked]");
    check("whsec_abcdefghijkl", "whsec_[masked]");
    check(
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_DEF-1, gone",
        "got [masked], gone",
    );
    check(
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nnext",
        "-----BEGIN RSA PRIVATE KEY-----[masked]-----END RSA PRIVATE KEY-----\nnext",
    );
    check(
        "cut -----BEGIN PRIVATE KEY-----\nMIIE",
        "cut -----BEGIN PRIVATE KEY-----[masked]",
    );
}

#[test]
fn the_list_of_prefixes_is_in_byte_order() {
    assert!(PREFIXES.is_sorted_by_key(|(prefix, ..)| prefix));
    assert!(
        PREFIXES
            .iter()
            .all(|(prefix, _, least, most)| prefix.is_ascii() && *least >= 8 && least <= most)
    );
}

#[test]
fn values_under_telling_names_are_masked() {
    check(
        "DB_PASSWORD=hunter2 started",
        "DB_PASSWORD=[masked] started",
    );
    check(
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG",
        "aws_secret_access_key = [masked]",
    );
    check("?api_key=abc&page=2", "?api_key=[masked]&page=2");
    check("password: 'a b c' set", "password: '[masked]' set");
    check(r#"{\"token\":\"abc\"}"#, r#"{\"token\":\"[masked]\"}"#);
    check("Set-Cookie: sid=1; Path=/", "Set-Cookie: [masked]; Path=/");
    check("X-Auth-Token: abc", "X-Auth-Token: [masked]");
    check(
        "authorization=\"Basic dXNlcjpwYXNz\"",
        "authorization=\"Basic [masked]\"",
    );
    check(
        "curl -H 'Authorization: Bearer abc123'",
        "curl -H 'Authorization: Bearer [masked]'",
    );
}

#[test]
fn passwords_in_urls_are_masked() {
    check("redis://:pw@cache:6379/0", "redis://:[masked]@cache:6379/0");
    check("amqp://guest:p@ss@mq/v", "amqp://guest:[masked]@mq/v");
    check(
        "https://example.com:8443/a@b",
        "https://example.com:8443/a@b",
    );
}

#[test]
fn what_is_no_secret_stays() {
    for plain in [
        "Basic auth failed",
        "bearer of news",
        "Error: secret \"db\" not found",
        "secretName: db-credentials",
        "token count: 12",
        "password=",
        "sk-learn is installed",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "Grüße – ünïcode 🦀 stays whole",
        "pod api-gateway-controller-manager-7d9c5b6f4-x2x9z of hf-deployments",
        "API-gateway-controller-manager-0",
        "AKIA is a prefix, AKIAIOSFODNN7EXAMPLEX no key",
        "",
    ] {
        check(plain, plain);
    }
}

/// Read again from each of its pieces, a text takes minutes. So long is waited for it, on a machine that does much else.
const READ_ONCE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn a_hostile_text_is_read_once() {
    for piece in [
        "a-",
        "eyJ-",
        "eyJ/",
        "AKIA-",
        "ghp_-",
        "token-",
        "Bearer ",
        "x://",
        "-----BEGIN ",
        "token='[masked] ",
    ] {
        let hostile = piece.repeat(200_000 / piece.len());
        let (done, masked) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(text(&hostile).into_owned()));
        let masked = masked.recv_timeout(READ_ONCE_MAX);
        assert!(masked.is_ok_and(|masked| !masked.is_empty()), "{piece}");
    }
}

#[test]
fn a_token_is_masked_however_long_it_is() {
    let token = "a1".repeat(35_000);
    assert_eq!(text(&format!("ghp_{token}")), "ghp_[masked]");
    assert_eq!(text(&"glpat-".repeat(11_000)), "glpat-[masked]");
    // A prefix with a fixed length matches that length only: AKIA with 16 letters is an id, with 17 it is not.
    let id = format!("AKIA{}", "A".repeat(17));
    assert_eq!(text(&id), id);
}

#[test]
fn what_was_masked_is_known_by_its_beginning() {
    assert_eq!(text("token=[masked]x y"), "token=[masked]x y");
    let far = format!("token={}[masked]", "a".repeat(2_048));
    assert_eq!(text(&far), "token=[masked]");
}
