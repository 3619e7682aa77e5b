"""Attributes that are set at once: the span is as after `set_attributes`, under every limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import INVALID_SPAN

from otel_agentcost.core.call import AttributeValue
from otel_agentcost.telemetry import set_at_once as quick
from otel_agentcost.telemetry.set_at_once import set_at_once

BEFORE: dict[str, AttributeValue] = {"gen_ai.request.model": "gpt-4o", "changed": 1}
LIMITS = {
    "none": SpanLimits(),
    "number of attributes": SpanLimits(max_attributes=4),
    "length of values": SpanLimits(max_attribute_length=3),
}
ATTRIBUTES: dict[str, Any] = {
    "clean": {"a": "text", "b": 1, "c": 0.5, "d": True, "e": ("stop", "length")},
    "changed": {"a": "text", "changed": 2, "b": 3},
    "a list": {"a": ["x", "y"], "b": 1},
    "a tuple of objects": {"a": ("x", object), "b": 1},
    "an object": {"a": object, "b": 1},
    "a subclass of str": {"a": type("Text", (str,), {})("text")},
    "an empty name": {"": 1, "b": 1},
    "a name that is no text": {1: 1, "b": 1},
    "nothing": {},
}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each test compares the two ways by itself."""
    quick._known_kind.cache_clear()
    yield
    quick._known_kind.cache_clear()


PRIVATE_PARTS = pytest.mark.skipif(
    not hasattr(BoundedAttributes, "_setitem_locked"), reason="this SDK of OpenTelemetry has not the private parts"
)
"""Older releases of the SDK are written the public way."""


def started(limits: SpanLimits | None = None) -> Any:
    tracer = TracerProvider(shutdown_on_exit=False, span_limits=limits).get_tracer("t")
    return tracer.start_span("span", attributes=BEFORE)


def state(span: Any) -> tuple[list[Any], int]:
    return list(span.attributes.items()), span.dropped_attributes


def test_the_sdk_of_the_tests_is_known() -> None:
    """The comparison with the public way finds no difference, so clean attributes are stored at once."""
    span = started()
    assert quick._known_kind() is type(span)
    assert quick._stored(span, ATTRIBUTES["clean"])


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_the_span_is_as_after_set_attributes(attributes: str, limits: str) -> None:
    """Values, their order, which limits evict by, and the number that was dropped."""
    public, at_once = started(LIMITS[limits]), started(LIMITS[limits])
    public.set_attributes(ATTRIBUTES[attributes])
    set_at_once(at_once, ATTRIBUTES[attributes])
    assert state(at_once) == state(public)


def test_an_ended_span_does_not_change() -> None:
    """It may be in an exporter's batch already."""
    span = started()
    span.end()
    before = state(span)
    set_at_once(span, ATTRIBUTES["clean"])
    assert state(span) == before


@PRIVATE_PARTS
def test_another_sdk_is_written_the_public_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that does more with an attribute than to clean and store it."""
    stored = BoundedAttributes._setitem_locked
    monkeypatch.setattr(BoundedAttributes, "_setitem_locked", lambda self, key, value: stored(self, key.upper(), value))
    span = started()
    set_at_once(span, {"a": 1})
    assert quick._known_kind() is None
    assert span.attributes["A"] == 1


@PRIVATE_PARTS
def test_an_sdk_without_the_private_parts_is_written_the_public_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself may fail."""
    plain = BoundedAttributes.__init__

    def renamed(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        del self.maxlen

    with monkeypatch.context() as broken:
        broken.setattr(BoundedAttributes, "__init__", renamed)
        broken.setattr(BoundedAttributes, "_set_items", lambda *_: None)
        assert quick._known_kind() is None
    span = started()
    set_at_once(span, {"a": 1})
    assert span.attributes["a"] == 1


def test_spans_of_other_implementations_are_written_the_public_way() -> None:
    """The span of the API, and a wrapper around a span, have nothing but `set_attributes`."""
    written: list[Any] = []

    class Wrapper:
        def set_attributes(self, attributes: Any) -> None:
            written.append(attributes)

    other: Any = Wrapper()
    for span in (INVALID_SPAN, other):
        set_at_once(span, ATTRIBUTES["clean"])
    assert written == [ATTRIBUTES["clean"]]
