"""A server of Redis or Valkey, through redis-py: how a URL names it, and what its errors mean.

redis-py is imported when a URL is opened, and connections are made when they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError

CONNECT_SECONDS: Final = 0.5
"""Timeout for connecting, which happens once and takes several round trips over TLS: longer than for an answer."""


class Server(NamedTuple):
    """A server that a URL names."""

    redis: Any
    """The module of redis-py."""
    make_pool: Callable[[], Any]
    """Returns a new pool of connections, none of which is connected."""


def open_server(url: str, timeout: float, what: str, error: type[AgentCostError]) -> Server:
    """Open the server that a URL names. Nothing is connected yet.

    Args:
        url: For example `redis://host:port/db`; `rediss` and `valkeys` use TLS.
        timeout: Seconds to wait for an answer.
        what: What is on the server, for people ("ledger").
        error: The exception to raise.

    Raises:
        AgentCostError: redis-py is missing, or the URL cannot be parsed.
    """
    shown = f"The {what} {without_password(url)!r:.120}"
    try:
        import redis.backoff  # noqa: PLC0415 - an extra, and half a second
        import redis.retry  # noqa: PLC0415 - the same
    except ImportError as missing:
        raise error(f"{shown} needs redis-py: pip install 'otel-agentcost[redis]'.") from missing
    _, _, rest = url.partition("://")
    secure = url.lower().startswith(("rediss:", "valkeys:"))
    # A connection that the server has closed is replaced once; a request that timed out is not repeated.
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    library: Any = redis
    make: Callable[[], Any] = partial(
        library.ConnectionPool.from_url,
        f"redis{'s' * secure}://{rest}",
        socket_connect_timeout=max(timeout, CONNECT_SECONDS),
        socket_timeout=timeout,
        retry=retry,
    )
    try:
        pool = make()
        pool.connection_class(**pool.connection_kwargs)  # raises if an option of the URL is unknown
    except (ValueError, TypeError, library.RedisError) as reason:
        raise error(f"{shown} cannot be parsed: {reason}.") from reason
    return Server(library, make)


def failure(redis: Any, error: Exception) -> str:
    """Return what an error of a server means, to complete a sentence about the server.

    Args:
        redis: The module of redis-py.
        error: One of its errors, or one of the system.
    """
    errors = redis.exceptions
    cause = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, errors.AuthenticationError) or cause.startswith("NOAUTH"):
        what = "rejects the login"
    elif isinstance(error, (errors.ConnectionError, errors.TimeoutError, OSError)):
        what = "is not reachable"
    else:
        what = "cannot be used"
    return f"{what}: {cause}."
