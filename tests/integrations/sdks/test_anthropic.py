"""Every shape of an anthropic call: the application sees what it sees without us, and the span says what it cost."""

from __future__ import annotations

import pytest

from tests.integrations.sdks import anthropic_clouds, anthropic_shapes
from tests.support.call_shapes import Shape, check_shape, names
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

# The SDK says so of every model in its turn: these tests are about prices that are known by heart.
pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")


@pytest.mark.parametrize("shape", anthropic_shapes.SHAPES, ids=names(anthropic_shapes.SHAPES))
def test_messages(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """A message gives the same objects and sends the same bytes, and is one span a billed call with its dollars."""
    check_shape(shape, model_server, telemetry)


@pytest.mark.parametrize("shape", anthropic_clouds.SHAPES, ids=names(anthropic_clouds.SHAPES))
def test_clouds(shape: Shape, model_server: ModelServer, telemetry: Telemetry) -> None:
    """The same on other clouds, at the prices of the cloud and of the profile that was asked for."""
    check_shape(shape, model_server, telemetry)
