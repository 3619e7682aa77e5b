"""The rehearsal of a semantic cache: questions and their real answers pass, and nothing is served.

Of the entries of the same scope, the nearest one is the candidate. The veto and the entry's bound decide whether it
would have answered; the real answer says whether that would have been right. Everything is kept in memory, within
bounds: the oldest entries make room. Not safe for threads: one thread owns a rehearsal.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from operator import mul
from typing import Final, Literal, NamedTuple

from otel_agentcost.savings.semantic.bound import DELTA, Bound
from otel_agentcost.savings.semantic.veto import Marks, Reason, marks_of, veto

Verdict = Literal["right", "wrong", "unknown"]
"""`unknown`: the answers differ, and no judge says whether they mean the same. It never counts as right."""

Judge = Callable[[str, str, str], bool]
"""Returns whether two answers to a question mean the same: the question, the entry's answer, the real one."""

LEAST: Final = 0.5
"""The similarity below which an entry is no candidate."""

PER_SCOPE: Final = 200
"""Entries of one scope: all of them are compared with each question."""

MOST_BYTES: Final = 16 << 20
"""Bytes of all entries together."""

LIFETIME: Final = 86_400.0
"""Seconds after which an entry is forgotten, as a cache would."""

_OVERHEAD: Final = 5_000
"""Bytes of an entry beside its embedding and its answer."""


class Asked(NamedTuple):
    """A question that the model has answered."""

    scope: bytes
    """Stands for everything else that sets the answer: tenant, model, parameters, system, tools, earlier turns."""
    question: str
    answer: str
    at: float
    """Seconds since the epoch."""


class Outcome(NamedTuple):
    """The part that an entry would have played."""

    similarity: float
    vetoed: Reason | None
    served: bool
    """True if its answer would have been served."""
    verdict: Verdict
    """Whether that answer would have been right."""


class _Entry:
    __slots__ = ("answer", "at", "bound", "bytes", "marks", "print", "vector")

    def __init__(self, asked: Asked, vector: array[float], marks: Marks, *, judged: bool) -> None:
        self.at = asked.at
        self.vector = vector
        self.marks = marks
        self.bound = Bound()
        self.print = _print(asked.answer)
        self.answer = asked.answer if judged else ""
        self.bytes = _OVERHEAD + vector.itemsize * len(vector) + 4 * len(self.answer)


class Rehearsal:
    """Entries, and what they would have answered."""

    def __init__(
        self, *, judge: Judge | None = None, delta: float = DELTA, seed: int = 0, most_bytes: int = MOST_BYTES
    ) -> None:
        """Start with no entries.

        Args:
            judge: Compares answers that differ in their words.
            delta: The share of answers that may be wrong.
            seed: Sets when the model would have been asked although an entry could answer.
            most_bytes: The bytes of all entries together.
        """
        self._judge = judge
        self._delta = delta
        self._random = random.Random(seed)
        self._most = most_bytes
        self._scopes: OrderedDict[bytes, list[_Entry]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return sum(map(len, self._scopes.values()))

    def take(self, asked: Asked, embedding: Sequence[float]) -> Outcome | None:
        """Take a question that the model has answered. Returns the part of its candidate; None if there is none.

        Args:
            asked: The question.
            embedding: Its embedding.

        Raises:
            ValueError: The embedding has no direction.
        """
        vector, marks = _normal(embedding), marks_of(asked.question)
        entries = self._entries(asked)
        similarity, entry = max(
            ((_cosine(vector, each.vector), each) for each in entries), key=lambda pair: pair[0], default=(0.0, None)
        )
        if entry is None or similarity < LEAST:
            self._keep(asked, _Entry(asked, vector, marks, judged=self._judge is not None))
            return None
        verdict = self._verdict(asked, entry)
        reason = veto(entry.marks, marks)
        served = False
        if reason is None:
            served = self._random.random() >= entry.bound.asks(similarity, self._delta)
            entry.bound.learn(similarity, right=verdict == "right")
        if verdict != "right":
            self._keep(asked, _Entry(asked, vector, marks, judged=self._judge is not None))
        return Outcome(similarity, reason, served, verdict)

    def _verdict(self, asked: Asked, entry: _Entry) -> Verdict:
        if _print(asked.answer) == entry.print:
            return "right"
        if self._judge is None:
            return "unknown"
        return "right" if self._judge(asked.question, entry.answer, asked.answer) else "wrong"

    def _entries(self, asked: Asked) -> list[_Entry]:
        """Return the entries of a scope that a cache would still have."""
        entries = self._scopes.setdefault(asked.scope, [])
        self._scopes.move_to_end(asked.scope)
        while entries and entries[0].at < asked.at - LIFETIME:
            self.bytes -= entries.pop(0).bytes
        return entries

    def _keep(self, asked: Asked, entry: _Entry) -> None:
        entries = self._scopes[asked.scope]
        entries.append(entry)
        self.bytes += entry.bytes
        if len(entries) > PER_SCOPE:
            self.bytes -= entries.pop(0).bytes
        while self.bytes > self._most and self._scopes:
            scope, oldest = next(iter(self._scopes.items()))
            if oldest:
                self.bytes -= oldest.pop(0).bytes
            if not oldest:
                del self._scopes[scope]


def _normal(embedding: Sequence[float]) -> array[float]:
    """Return an embedding of length 1."""
    vector = array("f", embedding)
    length = math.sqrt(sum(map(mul, vector, vector)))
    if not 0 < length < math.inf:
        raise ValueError("an embedding has no direction")
    return array("f", (each / length for each in vector))


def _cosine(one: array[float], other: array[float]) -> float:
    return sum(map(mul, one, other)) if len(one) == len(other) else 0.0


def _print(answer: str) -> bytes:
    """Return what answers have in common that differ in spaces and case only."""
    return blake2b(" ".join(answer.split()).casefold().encode("utf-8", "surrogatepass"), digest_size=16).digest()
