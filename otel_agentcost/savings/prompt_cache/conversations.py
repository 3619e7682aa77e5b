"""The conversations whose prompts are cached, and which of them a request continues. Pure: the caller passes the time.

A conversation is known by its messages: nearly every request repeats the first and the last of the one before, in their
places. That takes a few hashes, however long it is. If it fails, the conversations of the same agent and user that have
the same first message, conversation id or trace may have been edited or shortened: all messages are compared only with
those whose last message the request still has. Hashes are kept, never content; at most `MOST` conversations for a day.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from otel_agentcost.savings.prompt_cache.segments import Role, digest
from otel_agentcost.wire.format import Conversation

MOST: Final = 4_096
"""Conversations that are kept."""
DAY: Final = 86_400.0
_MOST_MESSAGES: Final = 1_000_000
"""Hashes of messages that are kept of all of them: 8 MB."""
_NEW: Final = 16
"""Messages that one request may add to a conversation and still be recognised by the last ones before."""
_ALIKE: Final = 8
"""Conversations that are kept by one key: the latest."""
_ALIKE_BEHIND: Final = 3
"""Messages behind another first message that make it the same conversation: more than a tool call and its result."""
_BEHIND: Final = 2
"""Messages behind a later one that has changed. Branches of a conversation may begin with the same short answer."""
_LAST: Final = 8
"""Messages at the end of a request among which the last one of a shortened history is looked for."""
_APART: Final = 12
"""Messages that tell branches apart which end alike."""
_GAPS: Final = 8
_BEGINNING: Final = 2
"""Messages that stay where a summary replaces the others: a task, and an instruction."""

Relation = Literal["continues", "edited", "compacted", "other"]
"""How a request follows an earlier one: it has all of its messages; it has others in their places; it has lost some; or
it is none of the same conversation."""


class History:
    """The state of one conversation."""

    __slots__ = (
        "answer",
        "answered",
        "began",
        "changed",
        "established",
        "gaps",
        "hashes",
        "input",
        "keys",
        "lifetime",
        "number",
        "role",
        "root",
        "seen",
        "trace",
    )

    def __init__(self, number: int, root: int, role: Role, trace: int) -> None:
        """Begin a conversation."""
        self.number = number
        self.root = root
        self.role = role
        self.trace = trace
        self.hashes: array[int] = array("q")
        """Those of the messages of its last request."""
        self.established = 0
        """Tokens of the prefix that the provider has cached: read and written by the last answer."""
        self.input = 0
        """All input tokens of the last answer."""
        self.began = self.answered = 0.0
        """The times of the last call and of its answer, in seconds since the epoch."""
        self.lifetime = 0.0
        """Seconds for which the prefix is kept."""
        self.gaps: tuple[float, ...] = ()
        """Seconds between the latest calls."""
        self.seen = 1
        """Calls in a row that had this prefix, each within its lifetime."""
        self.answer: str | None = None
        """The id of the last answer, which the next request may name instead of repeating the conversation."""
        self.changed = False
        """True if its beginning has changed before: it then makes no further conversation."""
        self.keys: tuple[object, ...] = ()


class Asked(NamedTuple):
    """A request, as far as it identifies its conversation."""

    facet: Conversation
    messages: Sequence[Any]
    owner: int
    """The hash of the conversation, agent, user and tenant that the application names: they tell requests apart."""
    named: bool
    """True if the application names the conversation."""
    trace: int
    """0 if it has none."""
    previous: str | None = None
    """The answer that the request goes on from, whose messages the provider keeps; None if it repeats them."""


class Place(NamedTuple):
    """The conversations that a request may continue."""

    histories: list[History]
    start: int
    """The number of messages that the request has in common with them; -1 if it has not all of theirs."""
    hashes: dict[int, int]
    """Those hashes of messages that were computed, by position."""


class Related(NamedTuple):
    """A conversation, and how a request follows it."""

    history: History
    relation: Relation
    at: int
    """The position of the first message that differs."""
    alike: int
    """The number of messages that are alike."""


class Conversations:
    """The conversations of a process. Not thread-safe."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: OrderedDict[int, History] = OrderedDict()
        self._by_key: dict[object, tuple[History, ...]] = {}
        self._count = 0
        self._messages = 0

    def __len__(self) -> int:
        return len(self._known)

    def place(self, asked: Asked) -> Place:
        """Return the conversations whose messages a request repeats and continues, the longest ones."""
        messages, hashes = asked.messages, dict[int, int]()
        count = len(messages)
        if asked.previous is not None:
            return Place([*self._by_key.get(asked.previous, ())], 0, hashes)
        find = self._by_key.get
        root = _root(asked, hashes)
        if ("root", root) not in self._by_key:
            return Place([], -1, hashes)
        for at in range(count - 1, max(-1, count - 1 - _NEW), -1):
            last = hashes.get(at)
            if last is None:
                last = hashes[at] = digest(messages[at])
            histories = find((at, last, root))
            if histories is not None:
                place = Place([*histories], at + 1, hashes)
                return place if len(histories) == 1 else self._told_apart(asked, place)
        return Place([], -1, hashes)

    def _told_apart(self, asked: Asked, place: Place) -> Place:
        """Return the place without conversations that only end in the same message: branches do, without ids."""
        first = max(0, place.start - _APART)
        new = [_digest_at(at, asked, place.hashes) for at in range(first, place.start)]
        same = [history for history in place.histories if history.hashes[first:].tolist() == new]
        return place._replace(histories=same, start=place.start if same else -1)

    def candidates(self, asked: Asked, place: Place) -> list[History]:
        """Return the conversations that a request may continue, by a few of its messages: it may still be another one.

        They have its place, first message, id or trace.
        """
        found = {history.number: history for history in place.histories}
        if asked.previous is not None:
            return [*found.values()]
        for key in _shared_keys(_root(asked, place.hashes), asked):
            found |= {history.number: history for history in self._by_key.get(key, ())}
        return [
            history
            for history in found.values()
            if _speaks_for(history, asked, place.hashes) or _may_be_rewritten(history, asked)
        ]

    def related(self, asked: Asked, place: Place, candidates: Sequence[History], role: Role) -> list[Related]:
        """Find out how a request follows each of some conversations, with all kinds of changes.

        Compares all messages, but only with conversations that the last messages, or the first ones, speak for.

        Args:
            asked: The request.
            place: Its place.
            candidates: The conversations.
            role: What stands before its messages.

        Returns:
            The conversations, those first that have most in common with the request.
        """
        if asked.previous is not None:
            return [Related(history, "continues", 0, 0) for history in candidates]
        found: list[Related] = []
        left: list[History] = []
        for history in candidates:
            at = self._rewritten_at(history, asked, place, role)
            if at is not None:
                found.append(Related(history, "edited", at, at))
            elif _speaks_for(history, asked, place.hashes):
                left.append(history)
        if left:
            root, new = _root(asked, place.hashes), self.hashed(asked, place)
            for history in left:
                related = Related(history, *_relation(history.hashes, new, named=asked.named))
                # Agents that work in parallel may begin with the same tool calls: their first messages are no edits.
                apart = related.relation == "edited" and history.root != root and not asked.named
                if related.relation != "other" and not (apart and related.alike - related.at < _ALIKE_BEHIND):
                    found.append(related)
        return sorted(found, key=lambda each: (-each.alike, -each.history.number))

    def _rewritten_at(self, history: History, asked: Asked, place: Place, role: Role) -> int | None:
        """Return the position of the only message of a conversation, if a request has another one and goes on.

        Nothing is the same then but the names: it has to be the only conversation that has them, of the same agent.
        """
        last, messages = len(history.hashes) - 1, asked.messages
        if not _may_be_rewritten(history, asked) or history.role != role:
            return None
        if len(self._by_key.get(("conversation", asked.owner), ())) != 1:
            return None
        alike = all(_digest_at(at, asked, place.hashes) == history.hashes[at] for at in range(last))
        if not alike or _digest_at(last, asked, place.hashes) == history.hashes[last]:
            return None
        instructs, by_model = asked.facet.is_instruction, asked.facet.by_model
        only = all(map(instructs, messages[:last])) and not instructs(messages[last])
        return last if only and by_model(messages[last + 1]) else None

    def hashed(self, asked: Asked, place: Place) -> array[int]:
        """Return the hashes of all messages of a request."""
        return array("q", [_digest_at(at, asked, place.hashes) for at in range(len(asked.messages))])

    def begin(self, asked: Asked, place: Place, role: Role) -> History:
        """Add a conversation."""
        self._count += 1
        history = History(self._count, _root(asked, place.hashes), role, asked.trace)
        self.hashed(asked, place)  # raises if a message is unreadable
        self._known[self._count] = history
        self.extend(history, asked, place, 0)
        return history

    def extend(self, history: History, asked: Asked, place: Place, start: int) -> None:
        """Let a conversation have the messages of a request.

        Args:
            history: The conversation.
            asked: The request.
            place: Its place.
            start: The number of messages that are known already; those behind are hashed.
        """
        hashes, known = history.hashes, place.hashes
        new = [_digest_at(at, asked, known) for at in range(start, len(asked.messages))]
        before = len(hashes)
        if not start:
            history.root = _root(asked, known)
        del hashes[start:]
        hashes.extend(new)
        if history.number in self._known:
            self._messages += len(hashes) - before
        history.trace = asked.trace
        if history.number in self._known:
            self._index(history, asked)
            self._known.move_to_end(history.number)

    def _index(self, history: History, asked: Asked) -> None:
        hashes = history.hashes
        keys: tuple[object, ...] = ()
        if hashes:
            keys = ((len(hashes) - 1, hashes[-1], history.root), *_shared_keys(history.root, asked))
        if history.answer is not None:
            keys = (*keys, history.answer)
        old = history.keys
        if keys == old:
            return
        history.keys = keys
        for key in old:
            if key not in keys:
                self._remove(key, history)
        by_key = self._by_key
        for key in keys:
            if key not in old:
                others = by_key.get(key, ())
                by_key[key] = (history, *others[: _ALIKE - 1]) if others else (history,)

    def _remove(self, key: object, history: History) -> None:
        others = tuple(other for other in self._by_key.get(key, ()) if other is not history)
        if others:
            self._by_key[key] = others
        else:
            self._by_key.pop(key, None)

    def forget(self, now: float) -> None:
        """Forget the conversations that are too old, and the oldest ones of too many."""
        known = self._known
        while known:
            oldest = next(iter(known.values()))
            within = len(known) <= MOST and (self._messages <= _MOST_MESSAGES or len(known) == 1)
            if within and oldest.answered > now - DAY:
                return
            self.drop(oldest)

    @staticmethod
    def anew(history: History) -> None:
        """Forget the calls of a conversation whose prefix is another one from now on."""
        history.gaps, history.seen, history.began = (), 1, 0.0

    def drop(self, history: History) -> None:
        """Forget a conversation."""
        if self._known.pop(history.number, None) is not None:
            self._messages -= len(history.hashes)
            for key in history.keys:
                self._remove(key, history)

    def noted(self, history: History, at: float, answered: float, lifetime: float) -> None:
        """Note the times of a call of a conversation.

        Args:
            history: The conversation.
            at: When the call began, in seconds since the epoch.
            answered: When it was answered.
            lifetime: Seconds for which its prefix is kept from now on.
        """
        if history.began:
            gap = max(0.0, at - history.began)
            history.gaps = (*history.gaps[1 - _GAPS :], gap)
            history.seen = history.seen + 1 if gap <= history.lifetime else 1
        history.began = min(max(history.began, at), answered)  # the clock may have been ahead
        history.answered = answered
        history.lifetime = lifetime


def _digest_at(at: int, asked: Asked, hashes: dict[int, int]) -> int:
    """Return the hash of a message, which is computed once."""
    found = hashes.get(at)
    if found is None:
        found = hashes[at] = digest(asked.messages[at])
    return found


def _root(asked: Asked, hashes: dict[int, int]) -> int:
    """Return the hash of the first message that is no instruction (an instruction may contain the time).

    Conversations, agents, users and tenants with names of their own are never mixed up, also if they begin alike.
    """
    instructs: Callable[[Any], bool] = asked.facet.is_instruction
    for at, message in enumerate(asked.messages[:3]):
        if not instructs(message):
            return hash((_digest_at(at, asked, hashes), asked.owner))
    return hash(asked.owner)


def _shared_keys(root: int, asked: Asked) -> tuple[object, ...]:
    """Return the keys by which the conversations are found that a request may have changed."""
    keys: tuple[object, ...] = (("root", root),)
    if asked.trace:
        keys = (*keys, ("trace", asked.trace, asked.owner))
    return (*keys, ("conversation", asked.owner)) if asked.named else keys


def _may_be_rewritten(history: History, asked: Asked) -> bool:
    """Return True if a conversation has one message, beside instructions, and a request of the same id more."""
    return asked.named and 0 < len(history.hashes) <= min(3, len(asked.messages) - 1)


def _speaks_for(history: History, asked: Asked, hashes: dict[int, int]) -> bool:
    """Return True if a request may follow a conversation, by a few of its messages: it may still be another one."""
    old, count = history.hashes, len(asked.messages)
    if not old or not count:
        return False
    if len(old) <= count and _digest_at(len(old) - 1, asked, hashes) == old[-1]:
        return True
    if asked.named and 2 * count <= len(old) and _digest_at(0, asked, hashes) == old[0]:
        return True
    last = range(max(0, count - _LAST), count)
    return any(_digest_at(at, asked, hashes) == old[-1] for at in last)


def _relation(old: array[int], new: array[int], *, named: bool) -> tuple[Relation, int, int]:
    """Compare the messages of a request with those of an earlier one.

    Args:
        old: The hashes of the earlier messages.
        new: Those of the later ones.
        named: True if both have the same conversation id.

    Returns:
        The relation, the position of the first message that differs, and the number of messages that are alike.
    """
    most = min(len(old), len(new))
    at = next((at for at in range(most) if old[at] != new[at]), most)
    if at == len(old):
        return "continues", at, at
    if len(new) >= len(old) and old[-1] == new[len(old) - 1]:
        behind = sum(old[place] == new[place] for place in range(at + 1, most))
        if behind >= _BEHIND and 2 * behind >= len(old) - at - 1:
            return "edited", at, at + behind
    if at < len(new):
        kept = _kept_elsewhere(old, new)
        if kept:
            return "compacted", at, kept
        if named and 0 < at <= _BEGINNING and 2 * len(new) <= len(old):
            return "compacted", at, at
    return "other", at, 0


def _kept_elsewhere(old: array[int], new: array[int]) -> int:
    """Return how many of the last messages stand, in a row, in another place: what was before them is gone."""
    last = old[-1]
    for place in range(len(new) - 1, -1, -1):
        if new[place] == last and place != len(old) - 1:
            kept = 1
            while kept <= place and kept < len(old) and new[place - kept] == old[-1 - kept]:
                kept += 1
            if kept > 1:
                return kept
    return 0
