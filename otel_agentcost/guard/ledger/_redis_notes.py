"""The notes of the ledger of a fleet. The scripts are beside this file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.core.notes import NoteVerbs
from otel_agentcost.guard.ledger import GRACE, encoded

NOTE_SCRIPTS: Final = ("find_note", "swap_note")

_NOTE: Final = b"{agentcost}:note:"


class RedisNotes(NoteVerbs):
    """Implements `NoteVerbs` with one script for each verb. A note expires by the clock of the server."""

    @abstractmethod
    def _run(self, verb: str, keys: Sequence[bytes], args: Sequence[Any]) -> Any: ...

    def find_note(self, key: str, *, now: float) -> str | None:
        """See `NoteVerbs`."""
        del now  # the server drops what has ended
        found: bytes | None = self._run("find_note", [_NOTE + encoded(key)], [])
        return found.decode("utf-8", "surrogatepass") if found else None

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        """See `NoteVerbs`."""
        life = max(1, round((until - now + GRACE) * 1000))
        args = [encoded(before or ""), encoded(after or ""), str(life)]
        return bool(self._run("swap_note", [_NOTE + encoded(key)], args))
