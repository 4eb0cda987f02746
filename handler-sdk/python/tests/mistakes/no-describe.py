from handler_sdk import Alert, Context, Enrichment, Facts, Handler


class DiskFull(Handler):
    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return {}
