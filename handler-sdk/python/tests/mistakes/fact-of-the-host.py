from handler_sdk import Alert, Context, Description, Enrichment, Handler


class DiskFull(Handler):
    def describe(self) -> Description:
        return Description("disk-full", "0.1.0", "Says which disk fills up.", alerts=["DiskFull"])

    def enrich(self, cx: Context, alert: Alert, so_far: Enrichment) -> Enrichment:
        return Enrichment({"timer.key": "again"})
