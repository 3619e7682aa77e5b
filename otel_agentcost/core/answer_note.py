"""The note of an answer that goes on after its call: what prices it, and whose it is.

A session has one note for all its turns, with the usage that was charged, or was there before the first turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Final, cast

from otel_agentcost.core import semconv
from otel_agentcost.core.budgets import Budget
from otel_agentcost.core.call import AttributeValue, Call, Endpoint
from otel_agentcost.core.ledger import Amounts, Claim
from otel_agentcost.core.origin import Origin, written_budget
from otel_agentcost.core.usage import Usage

__all__ = ["GOES_ON", "AnswerNote", "OtherVersionError", "Turn", "key_of_answer"]

TURNS_AT_MOST: Final = 100
"""Turns of one session that no process has read. Of older ones, budgets keep the worst case."""

GOES_ON: Final[Mapping[str, Any]] = {"background": True, "deferred": True}
"""Stands for the body of a request whose answer goes on: formats then take no part of the answer for all of it."""

VERSION: Final = 1
"""The version of what is written here."""

_DEFAULT_PORTS: Final = (None, 80, 443)


def key_of_answer(endpoint: Endpoint, answer_id: str) -> str:
    """Return the key of an answer: two providers may use the same id.

    Args:
        endpoint: The endpoint that the answer was requested from, or is read from.
        answer_id: The id of the answer, or of the session.
    """
    host, port = endpoint.attributes.get(semconv.SERVER_ADDRESS), endpoint.attributes.get(semconv.SERVER_PORT)
    place = f"{host}" if port in _DEFAULT_PORTS else f"{host}:{port}"
    return f"{place} {answer_id}" if endpoint.known else f"{endpoint.said} {place} {answer_id}"


class OtherVersionError(ValueError):
    """A note is one of another version of this package, which can read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Origin):
    """A call whose answer goes on."""

    call_id: str
    """The id that the call has in the ledger."""
    operation: str
    model: str | None
    max_output_tokens: int | None
    choices: int
    parameters: Mapping[str, AttributeValue]
    terms: tuple[tuple[str, str], ...]
    asked_terms: tuple[tuple[str, str], ...]
    other_model: str | None
    """The model that its body names, if its address names another one (`Call.other_model`)."""
    deployment: str | None
    counted: tuple[tuple[Budget, str, Claim], ...]
    """The budgets that the call counts in, each with its value and its claim."""
    worst_case: Amounts
    """What they have counted of it."""

    @property
    def call(self) -> Call:
        """The request, without its body."""
        return Call(
            operation=self.operation,
            model=self.model,
            max_output_tokens=self.max_output_tokens,
            choices=self.choices,
            parameters=self.parameters,
            terms=self.terms,
            asked_terms=self.asked_terms,
            body=GOES_ON if self.other_model is None else {**GOES_ON, "model": self.other_model},
        )

    @property
    def target(self) -> Endpoint:
        """The endpoint, with its deployment."""
        return replace(self.endpoint, deployment=self.deployment)

    def fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        fields = asdict(replace(self, counted=()))
        fields["counted"] = [
            [written_budget(budget), value, _written_claim(claim)] for budget, value, claim in self.counted
        ]
        return fields

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Turn:
        """Return the turn that `fields` has made."""
        counted = tuple(
            (Budget(**budget), str(value), Claim(**claim)) for budget, value, claim in fields.pop("counted")
        )
        for name in ("runs", "span"):
            fields[name] = tuple(fields[name])
        for name in ("terms", "asked_terms"):
            fields[name] = tuple((str(term), str(value)) for term, value in fields[name])
        for name in ("attributes", "parameters"):
            given: Mapping[str, Any] = fields[name]
            fields[name] = {key: _attribute(value) for key, value in given.items()}
        return cls(**fields, counted=counted)


def _written_claim(claim: Claim) -> dict[str, Any]:
    """Return the fields of a claim as JSON has them. Older versions read it, which do not know rolling windows."""
    fields = asdict(claim)
    if claim.rolling is None:
        del fields["rolling"]
    return fields


def _attribute(value: Any) -> AttributeValue:
    """Return the value of a span attribute: JSON has lists for tuples."""
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNote:
    """The note of one answer, or of one session."""

    turns: tuple[Turn, ...] = ()
    """The calls that are not charged yet, the oldest first."""
    total: Usage | None = None
    """What a session has used up to the last time that it was charged, or first read. None if that is not known."""

    charged: tuple[str, ...] = ()
    """The ids of calls that are charged. A process whose note may have been kept or not finds its call here."""

    def with_turns(self, turns: Iterable[Turn]) -> AnswerNote:
        """Return the note with the turns that it does not have, and has not had."""
        known = {*self.charged, *(each.call_id for each in self.turns)}
        fresh = (turn for turn in turns if turn.call_id not in known)
        return replace(self, turns=(*self.turns, *fresh)[-TURNS_AT_MOST:])

    def after(self, turns: Iterable[Turn], total: Usage | None) -> AnswerNote:
        """Return the note after `turns` were charged, which are all of it."""
        charged = (*self.charged, *(turn.call_id for turn in turns))[-TURNS_AT_MOST:]
        return AnswerNote(total=total, charged=charged)

    def written(self) -> str:
        """Return the note as the ledger keeps it."""
        total = dict(self.total.counts) if self.total is not None else None
        turns = [turn.fields() for turn in self.turns]
        fields = {"version": VERSION, "turns": turns, "total": total, "charged": self.charged}
        return json.dumps(fields, separators=(",", ":"), default=str)

    @classmethod
    def read(cls, written: str) -> AnswerNote:
        """Return the note that `written` has made.

        Raises:
            OtherVersionError: Another version of this package has made it.
            ValueError: It is no such note.
        """
        try:
            fields = cast("dict[str, Any]", json.loads(written))
            if (version := fields["version"]) != VERSION:
                raise OtherVersionError(f"version {version!r:.20}")
            total, charged = fields["total"], tuple(map(str, fields["charged"]))
            turns = tuple(Turn.of(each) for each in fields["turns"])
            if total is None:
                return cls(turns=turns, charged=charged)
            counts = {kind: count if isinstance(count, int) else Decimal(count) for kind, count in total.items()}
            return cls(turns=turns, total=Usage(counts=counts), charged=charged)
        except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
