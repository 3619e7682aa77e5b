"""The declarations of an HTTP client's module, the patches, and the decision which requests are model calls.

A request that is none must cost next to nothing. So the patch is a plain function that looks at the method and the
host, and calls the original.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from otel_agentcost.calls.call import CURRENT
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.retrieval import Reading
from otel_agentcost.integrations.http._addresses import Addresses, Known
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.spans import model_calls

Method = Callable[..., Any]
"""The client's method, not bound to an object."""


@dataclass(frozen=True, slots=True)
class Net:
    """The pipeline and the addresses, for the functions in place of the clients' methods. One an `instrument()`."""

    pipeline: Pipeline
    addresses: Addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One method that sends requests."""

    target: Target
    patched: Callable[[Method, Net], Method]
    """Makes the function in place of the method. It has the same arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpClient:
    """One HTTP client: its distribution and the methods that send requests."""

    name: str
    distribution: str
    oldest: str
    """The oldest release that the tests cover."""
    sends: tuple[Sending, ...]


def patches_of(client: HttpClient, net: Net) -> tuple[Patch, ...]:
    """Return the patches of a client."""
    return tuple(FunctionPatch(sending.target, partial(_made, sending, net)) for sending in client.sends)


def _made(sending: Sending, net: Net, method: Method) -> Method:
    return sending.patched(method, net)


def by_name(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """Return all arguments by name; None if there are too many, or one twice: the client refuses such a call.

    Args:
        names: The names of the parameters that `args` begins with.
        args: The positional arguments.
        kwargs: The keyword arguments.
    """
    if len(args) > len(names) or not kwargs.keys().isdisjoint(names[: len(args)]):
        return None
    return {**dict(zip(names, args, strict=False)), **kwargs}


def held() -> bool:
    """Return True if the request that is about to be sent belongs to a call that is counted above.

    Such a call is that of a patched SDK or client, with its retries and redirects, or that of another instrumentation's
    span. A task that an SDK has started may outlive its call: then the call is settled.
    """
    call = CURRENT.get()
    return (call is not None and not call.settled) or model_calls.in_flight()


_POST = frozenset({"POST", "post", "Post"})
_GET = frozenset({"GET", "get", "Get"})
"""Clients send a method in capitals. Mixed ones that nobody writes are not looked for."""


def sees(method: Any, net: Net) -> Known | None:
    """Return the hosts at which a request of this method matters; None if it matters nowhere.

    A request may be a model call, or read what an earlier one has begun. What an SDK above reads of an earlier call is
    left to it.
    """
    if method in _POST:
        return net.addresses.posted
    if method not in _GET or Reading.is_open():
        return None
    return net.addresses.read if net.pipeline.awaits else net.addresses.sessions
