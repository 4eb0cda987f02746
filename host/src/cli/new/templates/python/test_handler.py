from pathlib import Path

from handler import {{type}}
from handler_sdk.mock import Host, alert_from_json

ALERT = alert_from_json((Path(__file__).parent / "alert.json").read_text())


def test_it_posts_the_alert_to_the_channel_that_is_set() -> None:
    host = Host().config("channel", "oncall")
    assert host.run({{type}}, ALERT).facts == {"posted": "yes"}
    assert host.posts[0].channel == "oncall"
    assert host.posts[0].text == "[FIRING] {{tested}}: {{summary}}"
