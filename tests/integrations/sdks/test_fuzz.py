"""Any JSON, and any events, through the real SDKs: the application sees what it sees without us.

Answers are grown from real ones (a field dropped, doubled, renamed, given another value or type) and from nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integrations.sdks.raw_bodies import STREAMS, WHOLE, Method, compare
from tests.support.in_memory import Telemetry
from tests.support.model_server import sse_event
from tests.support.replies import (
    CACHED,
    chat,
    chat_chunks,
    content,
    message,
    message_events,
    response,
    response_events,
)

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:The model .* is deprecated:DeprecationWarning", "ignore:Pydantic serializer warnings"
    ),
]
SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.sampled_from([10**18, 2**53 + 1, -(10**9), 0.5, 1e308, "", "12", "stop", "message_stop", "[DONE]"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [here] if here else []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*here, key))
    return found


def changed(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """A copy of `value` with another value at `path`; `...` removes what is there."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if by is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = by
    return copy


@st.composite
def grown(draw: st.DrawFn, seed: Any) -> Any:
    """A real value, changed in up to three places; or, sometimes, any value at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    value = seed
    for _ in range(draw(st.integers(0, 3))):
        places = paths(value)
        if not places:
            break
        value = changed(value, draw(st.sampled_from(places)), draw(st.just(...) | VALUES))
    return value


SEEDS = {
    "chat": chat(CACHED),
    "responses": response(),
    "embeddings": {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"embedding": [0.5]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    },
    "messages": message(),
    "gemini": content(),
}
EVENTS: dict[str, list[Any]] = {
    "chat stream": chat_chunks(CACHED),
    "responses stream": response_events(),
    "messages stream": message_events(),
    "gemini stream": [content(), content()],
}


def fresh(method: Method, chunks: list[bytes]) -> None:
    """One comparison with telemetry of its own."""
    telemetry = Telemetry()
    try:
        compare(method, chunks, telemetry)
    finally:
        telemetry.shutdown()


@pytest.mark.parametrize("method", WHOLE, ids=lambda method: method.name)
def test_any_body(method: Method) -> None:
    """Whatever the body is, nothing changes for the application, nothing is logged, and the span is honest."""

    @SLOW
    @given(grown(SEEDS[method.name]))
    def check(body: Any) -> None:
        fresh(method, [json.dumps(body).encode()])

    check()


@pytest.mark.parametrize("method", STREAMS, ids=lambda method: method.name)
def test_any_events(method: Method) -> None:
    """Whatever the events are, in whatever order, and however they are cut into chunks: the same."""
    named = method.name in {"messages stream", "responses stream"}
    seeds = EVENTS[method.name]

    @SLOW
    @given(st.lists(st.sampled_from(seeds).flatmap(grown), max_size=8), st.integers(1, 400))
    def check(events: list[Any], size: int) -> None:
        sent = b"".join(
            sse_event(event, named=named and isinstance(event, dict) and isinstance(event.get("type"), str))
            for event in events
        )
        fresh(method, [sent[start : start + size] for start in range(0, len(sent), size)])

    check()


@pytest.mark.parametrize("method", [*WHOLE, *STREAMS], ids=lambda method: method.name)
def test_any_bytes(method: Method) -> None:
    """The same for bytes that are no JSON and no events at all."""

    @SLOW
    @given(st.lists(st.binary(max_size=40), max_size=4))
    def check(chunks: list[bytes]) -> None:
        fresh(method, chunks)

    check()
