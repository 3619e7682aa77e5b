"""The address that gets notices of limits, refusals, breakers and loops. Its path is a secret that is never shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from otel_agentcost.settings.parsers import InvalidValue

SLACK: Final = "hooks.slack.com"
"""The host that takes Slack's form only."""

_PREFIX: Final = "slack+"


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """An address, and the form of what is sent there."""

    url: str = field(repr=False)
    """The whole address, with its secrets."""
    host: str
    """What may be shown of it."""
    slack: bool
    """True if it takes what Slack's incoming webhooks take (Mattermost, Rocket.Chat and Discord do, too)."""

    def __str__(self) -> str:
        """Return the address without its secrets."""
        return f"{_PREFIX if self.slack else ''}{self.url.partition(':')[0]}://{self.host}/***"


def to_webhook(value: object) -> WebhookUrl:
    """Parse an address of http or https, with `slack+` before it if it takes Slack's form."""
    if isinstance(value, WebhookUrl):
        return value
    written = str(value).strip()
    prefixed = written.lower().startswith(_PREFIX)
    url = written[len(_PREFIX) :] if prefixed else written
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may have a part of the address
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or re.search(r"[^\x21-\x7e]", url):
        raise InvalidValue("which is no address to send to: write https://host/path, or slack+https://host/path")
    return WebhookUrl(url, host if port is None else f"{host}:{port}", prefixed or host == SLACK)
