"""The event loop that runs the current code: of asyncio, of trio, or none.

anyio runs on one of the two. No library is imported here: what the application has not imported does not run.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

Library = Literal["asyncio", "trio"]


def running() -> Library | None:
    """Return the library whose event loop runs the current code. None in a thread without one."""
    # Only this flag is right where both libraries run: trio as a guest of asyncio, asyncio inside of trio. Its
    # neighbour, a context variable, is not used, because `asyncio.to_thread` copies it into threads without a loop.
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None:
        in_trio = sniffio.thread_local.name == "trio"
    else:
        trio: Any = sys.modules.get("trio")
        in_trio = trio is not None and trio.lowlevel.in_trio_task()
    if in_trio:
        return "trio"
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 (quicker than an exception)
        return None
    return "asyncio"


def current_task() -> object | None:
    """Return the task that runs the current code. None outside of tasks, also in callbacks of a loop."""
    library = running()
    if library == "trio":
        task: object = sys.modules["trio"].lowlevel.current_task()
        return task
    return sys.modules["asyncio"].current_task() if library == "asyncio" else None
