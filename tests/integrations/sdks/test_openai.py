"""Every shape of an openai call: the application sees what it sees without us, and the span says what it cost."""

from __future__ import annotations

import pytest

from tests.integrations.sdks import openai_other_shapes, openai_shapes
from tests.support.call_shapes import Shape, check_shape, names
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@pytest.mark.parametrize("shape", openai_shapes.SHAPES, ids=names(openai_shapes.SHAPES))
def test_chat(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """A chat completion gives the same objects and sends the same bytes, and is one span with the right dollars."""
    check_shape(shape, model_server, telemetry)


@pytest.mark.parametrize("shape", openai_other_shapes.SHAPES, ids=names(openai_other_shapes.SHAPES))
def test_other_endpoints(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same for every other endpoint that is billed; what is not a model call has no span."""
    check_shape(shape, model_server, telemetry)
