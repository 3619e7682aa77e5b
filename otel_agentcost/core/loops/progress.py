"""Where a conversation stands: what the rules of `watch`, `answers`, `failures` and `stalls` tell the time by."""

from __future__ import annotations


class Progress:
    """Counts, of which each goes up with what it counts."""

    __slots__ = (
        "_heard",
        "at",
        "drafts",
        "last_change",
        "news",
        "novel",
        "order",
        "question",
        "slept",
        "topics",
        "turn",
        "user",
        "writes",
    )

    def __init__(self) -> None:
        self._heard = True
        self.at = 0
        """When, in whatever the caller counts."""
        self.turn = 0
        """What the model says and calls at once is one."""
        self.order = 0
        """Calls that came back."""
        self.novel = 0
        """Kinds of calls that brought something new at once."""
        self.news = 0
        """Results that were new."""
        self.slept = 0
        """The `order` of the last call that let time pass."""
        self.writes = 0
        """New calls that changed something."""
        self.user = 0
        """What the user said that was new, or asked again."""
        self.topics = 0
        """What of that was more than that the model should go on."""
        self.drafts = 0
        """Longer texts of the model that were new."""
        self.question = 0
        """What the user said last: the same for the same."""
        self.last_change = 0
        """The `order` of the last call of a known kind that brought something else than before."""

    def model_acts(self) -> bool:
        """The model says or calls something. Returns whether that begins a turn."""
        begins, self._heard = self._heard, False
        self.turn += begins
        return begins

    def model_receives(self) -> None:
        """Something comes back to the model."""
        self._heard = True
