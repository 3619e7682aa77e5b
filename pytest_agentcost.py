"""The pytest plug-in of otel-agentcost: the fixture `agentcost`.

pytest imports this module in every run of an environment that has the package, so it imports nothing of the package
before a test uses the fixture. That is why it stands beside the package: a module inside would import all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from otel_agentcost.testing import Recording


@pytest.fixture
def agentcost() -> Iterator[Recording]:
    """Instrument the SDKs for one test, and keep its model calls in memory: `otel_agentcost.testing.recording()`.

    `agentcost.model` is a fake model for the clients of the test, `agentcost.calls` what was called so far.
    """
    from otel_agentcost.testing import recording  # noqa: PLC0415 (see above)

    with recording() as made:
        yield made
