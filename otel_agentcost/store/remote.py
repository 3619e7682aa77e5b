"""Servers that answer questions over HTTP: their addresses, and one request."""

from __future__ import annotations

import base64
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection
from http.client import HTTPException
from typing import Final, NamedTuple

from otel_agentcost.errors import AgentCostError

TIMEOUT: Final = 60.0
"""Seconds to wait for an answer."""


class UnclearAddress(AgentCostError):
    """The address of a server cannot be understood. The text is one sentence that shows the correct form."""


class RemoteError(Exception):
    """A server cannot be reached, or refuses. The text says why."""


class Address(NamedTuple):
    """The parts of `scheme://user:password@host:port/path?secure=true&name=value`."""

    server: str
    """For example `https://host:8443`."""
    host: str
    """The host and the port, for people."""
    path: str
    """The path, without slashes around it."""
    user: str
    password: str
    options: dict[str, str]
    """What else is after the question mark."""


def parse_url(url: str, server: str, allowed: str, ports: tuple[int, int], options: Collection[str] = ()) -> Address:
    """Return the parts of a URL.

    Args:
        url: The URL.
        server: The name of the server, for people.
        allowed: The correct form, for people.
        ports: The ports that apply if it names none: of HTTP, and of HTTPS.
        options: What may be after the question mark beside `secure`.

    Raises:
        UnclearAddress: It cannot be understood.
    """
    try:
        address = _parsed(url, *ports)
    except ValueError as error:
        raise UnclearAddress(f"The address of {server} cannot be understood ({error}): write {allowed}.") from error
    unknown = sorted(address.options.keys() - set(options))
    if unknown:
        raise UnclearAddress(
            f"The address of {server} cannot be understood ({unknown[0]!r:.40} is no option): write {allowed}."
        )
    return address


def _parsed(url: str, port: int, secure_port: int) -> Address:
    parts = urllib.parse.urlsplit(url)
    given = dict(urllib.parse.parse_qsl(parts.query))
    secure = given.pop("secure", "false").lower()
    if not parts.hostname or secure not in ("true", "false"):
        raise ValueError("it names no host" if not parts.hostname else "secure is true or false")
    scheme, usual = ("https", secure_port) if secure == "true" else ("http", port)
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = f"{name}:{parts.port or usual}"
    user, password = (urllib.parse.unquote(text or "") for text in (parts.username, parts.password))
    return Address(f"{scheme}://{host}", host, parts.path.strip("/"), user, password, given)


def post(address: Address, path: str, body: str, content_type: str) -> str:
    """Send a text, and return the text of the answer.

    Raises:
        RemoteError: There is no answer, or one with an error.
    """
    headers = {"Content-Type": content_type}
    if address.user or address.password:
        login = f"{address.user}:{address.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    try:
        request = urllib.request.Request(f"{address.server}/{path}", body.encode(), headers)  # noqa: S310 (http or https)
        with _opener(address).open(request, timeout=TIMEOUT) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode("utf-8", "replace").strip().partition("\n")[0]
        raise RemoteError(said or f"it answers {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise RemoteError(str(getattr(error, "reason", error)) or type(error).__name__) from error


def _opener(address: Address) -> urllib.request.OpenerDirector:
    """Return what sends requests: through the proxy of the environment, which cannot reach this machine itself."""
    here = urllib.parse.urlsplit(address.server).hostname in ("127.0.0.1", "localhost", "::1")
    return urllib.request.build_opener(*((urllib.request.ProxyHandler({}),) if here else ()))
