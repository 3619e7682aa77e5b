"""Notes in a ledger: short texts that the processes which share it leave for each other.

A process that begins an answer which goes on elsewhere leaves a note. The process that reads its end takes the note,
and only one can: the process that takes it charges the answer. The ledger does not interpret a note.
"""

# ruff: noqa: ARG002 (the defaults of a protocol)
from __future__ import annotations

from typing import Protocol, TypeGuard

__all__ = ["NOTE_DAYS", "NoteVerbs", "keeps_notes"]

NOTE_DAYS = 60
"""Days for which a note is kept. Providers keep answers for about thirty days."""


class NoteVerbs(Protocol):
    """The verbs of a ledger that keeps notes, beside those of `Ledger`.

    Each is one atomic step, and may raise `guard.ledger.LedgerError`. The defaults are those of a ledger that keeps
    none.
    """

    def find_note(self, key: str, *, now: float) -> str | None:
        """Return the note with this key; None if there is none.

        Args:
            key: Identifies the note, over all processes that share the ledger.
            now: Epoch seconds.
        """
        return None

    def swap_note(self, key: str, before: str | None, after: str | None, *, now: float, until: float) -> bool:
        """Replace a note, if it is still `before`.

        Args:
            key: Identifies the note.
            before: The text to replace, which is not empty; None: there must be no note.
            after: The new text, which is not empty; None to delete the note.
            now: Epoch seconds.
            until: Epoch seconds after which the new note may be forgotten.

        Returns:
            True for the one caller that has replaced it. False if the note is another one, and nothing was changed.
        """
        return False


def keeps_notes(ledger: object) -> TypeGuard[NoteVerbs]:
    """Return True if a ledger keeps notes. Those of other distributions may not."""
    return hasattr(ledger, "swap_note") and hasattr(ledger, "find_note")
