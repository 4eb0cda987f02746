"""Uses the fake of Slack as any program would, by Slack's own client, and asserts what Slack's documentation says of it."""

import sys

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

API, TOKEN = sys.argv[1:3]


def client(*handlers, token=TOKEN):
    return WebClient(token=token, base_url=API, retry_handlers=list(handlers))


def refused(code, call):
    try:
        call()
    except SlackApiError as error:
        assert error.response["error"] == code, error
        return error.response
    raise AssertionError(f"not refused: {code}")


slack = client()
assert slack.auth_test()["ok"]
refused("invalid_auth", lambda: client(token="xoxb-other").auth_test())
refused("channel_not_found", lambda: slack.chat_postMessage(channel="#nowhere", text="a"))
refused("no_text", lambda: slack.chat_postMessage(channel="#oncall", text=""))
header = [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]
refused("invalid_blocks", lambda: slack.chat_postMessage(channel="#oncall", text="a", blocks=header))

good = [{"type": "section", "text": {"type": "mrkdwn", "text": "*a*"}}]
first = slack.chat_postMessage(channel="#oncall", text="first", blocks=good)
channel, ts = first["channel"], first["ts"]
reply = slack.chat_postMessage(channel=channel, thread_ts=ts, text="an answer")
assert reply["message"]["thread_ts"] == ts
# Without blocks the old ones stay; an empty list takes them away.
kept = slack.chat_update(channel=channel, ts=ts, text="second")
assert kept["message"]["blocks"] == good, kept.data
gone = slack.chat_update(channel=channel, ts=ts, text="third", blocks=[])
assert gone["message"]["blocks"] == [], gone.data
refused("message_not_found", lambda: slack.chat_update(channel=channel, ts="1.000100", text="a"))
refused("channel_not_found", lambda: slack.chat_update(channel="#oncall", ts=ts, text="a"))
# By itself the client sends a form here. Slack takes both; the fake takes JSON alone, which is what the server is to send.
eyes = {"channel": channel, "timestamp": ts, "name": "eyes"}
slack.api_call("reactions.add", json=eyes)
refused("already_reacted", lambda: slack.api_call("reactions.add", json=eyes))

# One that waits as it is asked to gets every message through.
patient = client(RateLimitErrorRetryHandler(max_retry_count=3))
posted = {patient.chat_postMessage(channel="#alerts", text=str(n))["ts"] for n in range(9)}
assert len(posted) == 9


def flood():
    for n in range(30):
        slack.chat_postMessage(channel="#general", text=str(n))


# One that does not wait is told how long to, again and again, and then disabled.
response = refused("ratelimited", flood)
assert response.status_code == 429 and int(response.headers["Retry-After"]) >= 1, response.headers
for _ in range(11):
    refused("ratelimited", lambda: slack.chat_postMessage(channel="#general", text="again"))
refused("account_inactive", lambda: slack.chat_postMessage(channel="#oncall", text="a"))
print("Slack's client agrees")
