"""Locks in a fork: a thread of the parent that holds one does not exist in the child, which would wait for ever.

An object with such a lock replaces it in `after_fork`. The ledgers do more, see `fork_safe.py`.
"""

from __future__ import annotations

import os
import time
from typing import Final, Protocol
from weakref import WeakSet

LOADED_AT: Final = time.time()
"""When this module was loaded, in seconds since the epoch: in a child of a fork, when its parent loaded it."""


class Forkable(Protocol):
    """An object with locks."""

    def after_fork(self) -> None:
        """Replace the locks. Called in the child of a fork, before any other code."""
        ...


def watch(owner: Forkable) -> None:
    """Call `owner.after_fork` in each child of a fork, as long as `owner` exists."""
    _owners.add(owner)


_owners: WeakSet[Forkable] = WeakSet()


def _in_child() -> None:
    for owner in list(_owners):
        owner.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
