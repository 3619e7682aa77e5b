"""Short words for what tests of the guard say often: guards, calls, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any

from otel_agentcost.core import budgets
from otel_agentcost.core.budgets import Scope
from otel_agentcost.core.call import Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.guard import CallFacts, Guard, Policy, Refused, Ticket
from otel_agentcost.guard.ledger import Ledger
from otel_agentcost.guard.ledger.memory import MemoryLedger
from otel_agentcost.wire import load

NOW = 1_800_000_000.0

_ids = count()


def price(usage: Usage, model: str | None) -> Cost:
    """A tenth of a cent for each output token, and a millionth of a dollar for each of the input; `small` is a tenth of
    that, the cost of `secret` is not known, `gift` is free, and `pictures` has a price for pages alone."""
    if model == "secret":
        return Cost.unknown("no price for secret")
    if model in ("gift", "pictures"):
        pages = usage.counts.get("input_document_pages", 0) if model == "pictures" else 0
        return Cost(usd=Decimal("0.04") * pages)
    usd = Decimal("0.001") * usage.output_tokens + Decimal("0.000001") * usage.input_tokens
    return Cost(usd=usd / 10 if model == "small" else usd)


def call(output: int | None = 100, model: str = "big", text: str = "hello", **body: Any) -> Call:
    request = {"model": model, "messages": [{"role": "user", "content": text}], **body}
    return Call(operation="chat", model=model, max_output_tokens=output, body=request)


def facts(
    output: int | None = 100, *, now: float = NOW, trace: str = "t1", model: str = "big", **scopes: str
) -> CallFacts:
    given: Mapping[str, str] = {"trace": trace, "user": "u1", "total": "", **scopes}
    known: dict[Scope, str] = {scope: given[scope] for scope in budgets.SCOPES if scope in given}
    return CallFacts(
        call_id=f"call-{next(_ids)}",
        call=call(output, model),
        format=load("openai_chat"),
        scopes=known,
        price=price,
        now=now,
        trace_id=trace,
    )


def guard(rules: str, ledger: Ledger | None = None, **policy: Any) -> Guard:
    return Guard(budgets.parse(rules), ledger or MemoryLedger(), replace(Policy(wait_seconds=0.0), **policy))


def ticket(answer: Ticket | Refused) -> Ticket:
    assert isinstance(answer, Ticket), answer
    return answer


def refused(answer: Ticket | Refused) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer


def usd(amount: str) -> Decimal:
    return Decimal(amount)


def spent(guard: Guard, scope: str, value: str, now: float = NOW) -> int:
    """Nano-dollars spent and held, of the first rule for that scope."""
    rule = next(rule for rule in guard.budgets if rule.scope == scope)
    key = rule.key(value, budgets.period(rule.window, now))
    standing = guard.ledger.wrapped.standing(key, now=now)
    return standing.spent["nano_usd"] + standing.held["nano_usd"]
