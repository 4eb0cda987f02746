from handler_sdk import Alert, Context, Description, Enrichment, Facts, Handler, Setting

CHANNEL = Setting.channel("channel", "where it posts").default("alerts")
LINES = Setting.integer("log-lines", "how many lines of the log are shown").default(12)


class DiskFull(Handler):
    def describe(self) -> Description:
        return Description("disk-full", "0.1.0", "Says which disk fills up.", alerts=["DiskFull"], settings=[CHANNEL])

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        cx.slack.post(cx.setting(CHANNEL), f"The disk is full: {cx.setting(LINES)}")
        return {}
