"""The wire formats that fake models speak: one module a format.

Each module has two layers. Functions build the provider's JSON from a usage object of any shape: tests of this
package use them for what providers really send. `DIALECT` reads a request into `ModelRequest` and writes a `Turn`
through these functions: the fake model and the demo use it. Nothing here does I/O or decides on an answer. All of it
is written against the providers' documentation, and tests read every answer with the provider's own SDK.
"""

from __future__ import annotations

from otel_agentcost.testing.dialects import anthropic, gemini, openai_chat, openai_responses
from otel_agentcost.testing.dialects._base import Dialect, Json

__all__ = ["ROUTES", "Dialect", "Json", "find"]

ROUTES: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", openai_chat.DIALECT),
    ("/responses", openai_responses.DIALECT),
    ("/messages", anthropic.DIALECT),
    (":generateContent", gemini.DIALECT),
    (":streamGenerateContent", gemini.DIALECT),
)
"""The end of a path, and the format of the requests that go there."""


def find(path: str) -> Dialect | None:
    """Return the dialect of the requests that go to `path`, which has no query; None where there is none."""
    return next((dialect for ending, dialect in ROUTES if path.endswith(ending)), None)
