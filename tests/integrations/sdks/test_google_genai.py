"""Every shape of a google-genai call: the application sees what it sees without us, and the span says what it cost."""

from __future__ import annotations

import pytest

from tests.integrations.sdks.gemini_shapes import SHAPES
from tests.support.call_shapes import Shape, check_shape, names
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@pytest.mark.parametrize("shape", SHAPES, ids=names(SHAPES))
def test_gemini(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """A call gives the same objects and sends the same bytes; each billed request is one span with its dollars."""
    check_shape(shape, model_server, telemetry)
