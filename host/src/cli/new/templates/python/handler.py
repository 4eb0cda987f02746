"""Posts {{alert}} to Slack."""

from handler_sdk import Alert, Blocks, Context, Description, Enrichment, Facts, Handler, Setting

CHANNEL = Setting.channel("channel", "the Slack channel").default("alerts")
"""Where it posts. The operator sets it with `handlers.{{name}}.config.channel`."""

LABELS = [{{labels}}]
"""The labels that the message shows."""


class {{type}}(Handler):
    def describe(self) -> Description:
        return Description(
            "{{name}}",
            "0.1.0",
            "Posts the alert to Slack.",
            alerts=["{{serves}}"],
            settings=[CHANNEL],
        )

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        summary = alert.summary or "The alert has no summary."
        blocks = (
            Blocks()
            .header(alert.name)
            .section(summary)
            .fields({name: alert.label(name) or "" for name in LABELS})
            .enrichment(found)  # what handlers before this one found
        )
        cx.slack.post(cx.setting(CHANNEL), f"[FIRING] {alert.name}: {summary}", blocks=blocks)
        return {"posted": "yes"}

    # `def resolved` is called when the alert has resolved; by default it does nothing.
