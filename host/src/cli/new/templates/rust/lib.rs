//! Posts {{alert}} to Slack.

use handler_sdk::prelude::*;

/// Where it posts. The operator sets it with `handlers.{{name}}.config.channel`.
const CHANNEL: Setting = Setting::channel("channel", "the Slack channel").default("alerts");

/// The labels that the message shows.
const LABELS: [&str; {{label_count}}] = [{{labels}}];

struct {{type}};

impl Handler for {{type}} {
    fn describe() -> Description {
        Description::new(
            "{{name}}",
            env!("CARGO_PKG_VERSION"),
            "Posts the alert to Slack.",
        )
        .alerts(["{{serves}}"])
        .settings([&CHANNEL])
        .act_only()
    }

    fn act(cx: &Cx, alert: &Alert, found: &Enrichment) -> Result<Facts, Failure> {
        let summary = alert.summary().unwrap_or("The alert has no summary.");
        let text = format!("[FIRING] {}: {summary}", alert.name);
        let blocks = Blocks::new()
            .header(&alert.name)
            .section(summary)
            .fields(LABELS.map(|name| (name, alert.label(name).unwrap_or_default())))
            // What handlers before this one found.
            .enrichment(found);
        let channel = cx.setting(&CHANNEL).unwrap_or_default();
        let message = Message::new(channel, text).blocks(blocks);
        cx.slack().post(message)?;
        Ok(Facts::new().with("posted", "yes"))
    }

    // `fn resolved` is called when the alert has resolved; by default it does nothing.
}

handler_sdk::export!({{type}});

#[cfg(test)]
mod tests {
    use super::*;
    use handler_sdk::mock::{Host, alert_from_json};

    #[test]
    fn it_posts_the_alert_to_the_channel_that_is_set() {
        let host = Host::new().config("channel", "oncall");
        let alert = alert_from_json(include_str!("../alert.json"));
        let run = host.run::<{{type}}>(&alert);
        assert_eq!(run.facts().get("posted"), Some("yes"));
        let summary = alert.summary().unwrap_or_default();
        let post = &host.posts()[0];
        assert_eq!(post.channel, "oncall");
        assert_eq!(post.text, format!("[FIRING] {}: {summary}", alert.name));
    }
}
