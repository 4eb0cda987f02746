import os
from handler_sdk import Alert, Context, Description, Enrichment, Facts, Handler


class DiskFull(Handler):
    def describe(self) -> Description:
        return Description("disk-full", "0.1.0", "Says which disk fills up.", alerts=["DiskFull"])

    def act(self, cx: Context, alert: Alert, found: Enrichment) -> Facts:
        return {"exit": str(os.system("df"))}
