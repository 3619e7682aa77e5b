"""Counters of a conversation, which the loop rules use as a logical clock."""

from __future__ import annotations


class Progress:
    """The counters of one conversation. None of them ever decreases, except that `question` is a hash."""

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
        """The position of the latest item, in the caller's unit."""
        self.turn = 0
        """Turns of the model: messages and tool calls that it makes at once are one turn."""
        self.order = 0
        """Tool calls that have returned."""
        self.novel = 0
        """Kinds of calls whose first result was new."""
        self.news = 0
        """New results."""
        self.slept = 0
        """The `order` of the last call that waited."""
        self.writes = 0
        """New calls of tools that write."""
        self.user = 0
        """Messages of the user that were new, or repeated a question."""
        self.topics = 0
        """Those of them that did more than tell the model to continue."""
        self.drafts = 0
        """New long messages of the model."""
        self.question = 0
        """A hash of the user's last message; 0 if it only told the model to continue."""
        self.last_change = 0
        """The `order` of the last call of a known kind whose result had changed."""

    def model_acts(self) -> bool:
        """Record that the model said or called something. Return whether that starts a turn."""
        begins, self._heard = self._heard, False
        self.turn += begins
        return begins

    def model_receives(self) -> None:
        """Record that the model received something."""
        self._heard = True
