"""Own hosts: servers that speak the wire format of a known provider, such as a gateway in front of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from otel_agentcost.settings.parsers import InvalidValue, Items, quoted

__all__ = ["FORM", "OwnHost", "to_hosts"]

FORM: Final = "host[:port][/path]=provider"


@dataclass(frozen=True, slots=True)
class OwnHost:
    """One rule of the setting `hosts`: the addresses of a server, and the provider whose prices and names it has."""

    host: str
    """A host in lower case. It covers itself and the hosts below it."""
    port: int | None
    """None covers every port."""
    path: str
    """Covers the paths that begin with it; an empty text covers all."""
    provider: str
    """The provider, as `gen_ai.provider.name` or as the price book calls it."""

    def covers_host(self, host: str) -> bool:
        """Return True if `host`, in lower case and without a port, is covered on some port and path."""
        return host == self.host or host.endswith(f".{self.host}")

    def covers(self, host: str, port: int | None, path: str) -> bool:
        """Return True if this address is covered."""
        return (
            self.covers_host(host)
            and self.port in (None, port)
            and (not self.path or f"{path}/".startswith(f"{self.path}/"))
        )

    def __str__(self) -> str:
        """Return the rule as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}{'' if self.port is None else f':{self.port}'}{self.path}={self.provider}"


def to_hosts(value: object) -> tuple[OwnHost, ...]:
    """Parse own hosts: a mapping, a list, or text like `llm.internal=openai,10.0.0.5:8000/v2=anthropic`."""
    rules: dict[tuple[str, int | None, str], OwnHost] = {}
    items = Items()
    for item in _written(value):
        with items.item():
            rule = item if isinstance(item, OwnHost) else _rule(item)
            key = (rule.host, rule.port, rule.path)
            if rules.pop(key, rule).provider != rule.provider:  # neither of the two is sure
                raise InvalidValue(f"which has two providers for {str(rule).rpartition('=')[0]}")
            rules[key] = rule
    # The narrower rule of a host decides: with a port, and the longer path.
    found = sorted(rules.values(), key=lambda rule: (-len(rule.host), rule.port is None, -len(rule.path)))
    return items.checked(tuple(found))


def _written(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return [f"{host}={provider}" for host, provider in cast("Mapping[object, object]", value).items()]
    if isinstance(value, str):
        return [item for item in value.replace(";", ",").split(",") if item.strip()]
    if isinstance(value, (list, tuple)):
        return cast("Iterable[object]", value)
    raise InvalidValue(f"which does not have the form {FORM},{FORM}")


def _rule(item: object) -> OwnHost:
    if not isinstance(item, str):
        raise InvalidValue(f"where {quoted(item)} does not have the form {FORM}")
    address, equals, provider = (part.strip() for part in item.rpartition("="))
    if not equals or not address:
        raise InvalidValue(
            f"where {quoted(item.strip())} names no provider: write {FORM}, such as {_EXAMPLE.format(_host_in(item))}"
        )
    if not provider:
        raise InvalidValue(f"where {quoted(item.strip())} has nothing after the =: write {_EXAMPLE.format(address)}")
    if not re.fullmatch(r"[\w.-]+", provider):
        raise InvalidValue(f"where {quoted(provider)} is not the name of a provider: write {_EXAMPLE.format(address)}")
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port, path = (parts.hostname or "").strip("."), parts.port, parts.path.rstrip("/")
    except ValueError as error:
        raise InvalidValue(f"where {quoted(address)} is not an address ({error})") from error
    if parts.scheme not in ("", "http", "https"):
        raise InvalidValue(f"where {quoted(address)} is not an address of http or https")
    if "*" in host:
        raise InvalidValue(f"where {quoted(host)} has a *: a host covers the hosts below it, write {host.strip('*.')}")
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise InvalidValue(f"where {quoted(address)} names no host: write {FORM}")
    if parts.query or parts.fragment or parts.username is not None:
        raise InvalidValue(f"where {quoted(address)} has more than a host, a port and a path: write {FORM}")
    return OwnHost(host, port, path, provider.lower())


_EXAMPLE: Final = "{}=openai"


def _host_in(item: str) -> str:
    """Return the host that was probably meant in a rule without a provider."""
    return re.split(r"\s|=>|->", item.strip(), maxsplit=1)[0] or "llm.internal"
