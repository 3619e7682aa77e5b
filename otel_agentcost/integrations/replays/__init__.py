"""Below the SDKs: HTTP clients whose responses are recorded for the cache of answers, and replayed from it.

Each module of this folder without a leading underscore in its name is a client and has a constant `PATCHES`. They are
installed only if answers are cached, below those of `integrations/http`. What goes through another client is not
cached.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost import plugins
from otel_agentcost.integrations.patching import Patch

__all__ = ["patches"]


def patches() -> Iterator[Patch]:
    """Yield the patches of the clients of this folder."""
    for made in plugins.listed(__name__, __path__, "PATCHES"):
        yield from made()
