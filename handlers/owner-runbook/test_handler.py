"""What the table says of an alert."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handler import OwnerRunbook
from handler_sdk import Alert, Enrichment, Link, Permanent
from handler_sdk.mock import Host, alert_from_json

TABLE = [
    {"match": {"namespace": "payments-*", "severity": "critical"}, "channel": "payments-oncall"},
    {
        "match": {"namespace": "payments-*"},
        "owner": "team-payments",
        "channel": "payments",
        "runbook": "https://runbooks.example.com/payments/{alertname}",
    },
    {"match": {"cluster": "eu-1"}, "owner": "sre of {cluster}"},
]


def enriched(alert: Alert, table: object = TABLE) -> Enrichment:
    return Host().config("owners", json.dumps(table)).enrich(OwnerRunbook, alert)


def test_the_first_row_that_matches_counts_for_each_column() -> None:
    alert = Alert.new("Down", {"namespace": "payments-eu", "severity": "critical"})
    added = enriched(alert)
    url = "https://runbooks.example.com/payments/Down"
    assert added.facts == {"owner": "team-payments", "channel": "payments-oncall", "runbook_url": url}
    assert added.blocks == [Link("Runbook of team-payments", url)]


def test_labels_are_filled_in_and_encoded_in_urls() -> None:
    added = enriched(Alert.new("a/b c", {"namespace": "payments-eu"}))
    assert added.fact("runbook_url") == "https://runbooks.example.com/payments/a%2Fb%20c"
    assert enriched(Alert.new("Down", {"cluster": "eu-1"})).facts == {"owner": "sre of eu-1"}


def test_a_row_whose_label_is_missing_says_nothing() -> None:
    table = [{"runbook": "https://r.example/{service}", "owner": "all"}]
    assert enriched(Alert.new("Down"), table).facts == {"owner": "all"}


def test_the_owner_is_named_by_a_label_if_no_row_does() -> None:
    alert = Alert.new("Down", {"team": "storage"})
    assert Host().enrich(OwnerRunbook, alert).facts == {"owner": "storage"}
    assert Host().config("owner_labels", '["squad"]').enrich(OwnerRunbook, alert).facts == {}
    assert enriched(Alert.new("Down", {"team": "storage"}), [{"owner": "all"}]).facts == {"owner": "all"}


def test_the_alerts_own_runbook_is_not_linked_twice() -> None:
    url = "https://r.example/down"
    alert = Alert.new("Down", annotations={"runbook_url": url})
    added = enriched(alert, [{"runbook": url}])
    assert (added.facts, added.blocks) == ({"runbook_url": url}, [])


def test_the_alert_of_the_readme_has_an_owner() -> None:
    alert = alert_from_json((Path(__file__).parent / "alert.json").read_text())
    assert enriched(alert, [{"match": {"namespace": "customer"}, "owner": "team-customer"}]).facts == {
        "owner": "team-customer"
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (["x"], "row 1: write a mapping with `match`, and `owner`, `channel` or `runbook`"),
        ([{"owner": "a"}, {"ower": "b"}], "row 2: `ower` is unknown; known are match, owner, channel, runbook"),
        ([{"match": ["a"], "owner": "b"}], "row 1: `match` is no mapping of labels to values"),
        ([{"match": {"a": 1}}], "row 1: it says nothing: add `owner`, `channel` or `runbook`"),
        ([{"runbook": "javascript:alert(1)"}], "row 1: `runbook` is `javascript:alert(1)`: write a URL"),
        ({"a": 1}, "the setting `owners` is `{\"a\": 1}`: write a list"),
    ],
)
def test_a_wrong_row_is_named(table: object, message: str) -> None:
    with pytest.raises(Permanent) as failed:
        enriched(Alert.new("Down"), table)
    assert message in failed.value.message


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not_fit"),
    [
        ("a", ["a"], ["", "ab", "A"]),
        ("*", ["", "a"], []),
        ("a*", ["a", "ab"], ["", "ba"]),
        ("*a", ["a", "ba"], ["ab"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("a*b*c", ["abc", "axbxc", "abbc"], ["acb", "ac", "abcd"]),
        ("*eu*", ["eu", "prod-eu-1"], ["us"]),
        ("a.c", ["a.c"], ["abc"]),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, fits: list[str], does_not_fit: list[str]) -> None:
    def owner(cluster: str) -> str | None:
        alert = Alert.new("Down", {"cluster": cluster})
        return enriched(alert, [{"match": {"cluster": pattern}, "owner": "x"}]).fact("owner")

    assert [text for text in fits if owner(text) != "x"] == []
    assert [text for text in does_not_fit if owner(text) is not None] == []


def test_numbers_in_the_table_match_as_text() -> None:
    assert enriched(Alert.new("Down", {"replica": "0"}), [{"match": {"replica": 0}, "owner": "b"}]).facts == {"owner": "b"}
