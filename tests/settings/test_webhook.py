"""The setting of the webhook: its forms, and that its secret is never shown."""

from __future__ import annotations

import pytest

from otel_agentcost import Settings
from otel_agentcost.settings import ROWS
from otel_agentcost.settings.webhook import WebhookUrl
from tests.settings.test_settings import load, problem

SECRET = "T0000/B0000/a-secret"
"""What must never be shown."""


@pytest.mark.parametrize(
    ("written", "host", "slack"),
    [
        (f"https://hooks.slack.com/services/{SECRET}", "hooks.slack.com", True),
        (f"slack+https://mattermost.example:8443/hooks/{SECRET}", "mattermost.example:8443", True),
        (f"https://alerts.example/{SECRET}", "alerts.example", False),
        (f"http://[::1]:9000?token={SECRET}", "::1:9000", False),
    ],
)
def test_the_address_decides_on_the_form(written: str, host: str, slack: bool) -> None:
    """Slack's own host, or a prefix; nothing that is shown has the secret."""
    settings = load({"OTEL_AGENTCOST_WEBHOOK": written})
    address = settings.webhook
    assert isinstance(address, WebhookUrl)
    assert (address.host, address.slack, address.url) == (host, slack, written.removeprefix("slack+"))
    (row,) = (row for row in ROWS if row.field == "webhook")
    for shown in (repr(settings), row.show(address), str(address), repr(address)):
        assert "secret" not in shown
        assert host in shown
    assert Settings(webhook=address).webhook == Settings(webhook=written).webhook


@pytest.mark.parametrize(
    "written",
    [
        f"hooks.slack.com/services/{SECRET}",
        f"ftp://alerts.example/{SECRET}",
        f"https:///{SECRET}",
        f"https:/hooks.slack.com/{SECRET}",
        f"https://alerts.example:port/{SECRET}",
        f"https://[alerts/{SECRET}",
        f"https://user:secret@alerts.example/{SECRET}",
        f"https://alerts.example/ü {SECRET}",
        f'"https://alerts.example/{SECRET}"',
    ],
)
def test_what_is_no_address_is_said_without_its_secret(written: str) -> None:
    """And nobody is told; everything else goes on."""
    said = problem({"OTEL_AGENTCOST_WEBHOOK": written})
    assert "which is no address to send to: write https://host/path" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", ["OTEL_AGENTCOST_WEBHOK", "OTEL_AGENT_COST_WEBHOOK", "OTEL_AGENTCOST_SLACK"])
def test_a_misspelt_name_shows_no_secret(name: str) -> None:
    """The notice about it quotes the host only."""
    notices = " ".join(load({name: f"https://hooks.slack.com/services/{SECRET}"}).notices)
    assert "https://hooks.slack.com/***" in notices
    assert "secret" not in notices
