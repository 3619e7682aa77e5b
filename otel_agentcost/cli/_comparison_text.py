"""A comparison with a provider's bill as text, JSON and CSV, for `agentcost reconcile`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_agentcost.cli._figures import as_float, csv_of, table, usd
from otel_agentcost.insight.reconcile.comparison import Comparison
from otel_agentcost.insight.reconcile.findings import Finding
from otel_agentcost.insight.reconcile.proposals import Proposal
from otel_agentcost.insight.reconcile.split import CAUSES, Difference
from otel_agentcost.store.questions import shown

_MOST = 20
"""Findings that the text shows."""

_MEANINGS = {
    "coverage": "calls that were billed and never recorded",
    "usage": "recorded calls, with other tokens",
    "price": "the same tokens, at another price",
    "time": "on another day, or not yet in the bill",
    "tools": "searches, executions and sessions",
    "unknown model": "models without a price here",
    "other": "credits, taxes and fees",
}


def share(comparison: Comparison) -> float | None:
    """Return the recorded part of what was billed; None if nothing was billed."""
    return comparison.recorded / comparison.billed if comparison.billed > 0 else None


def as_text(comparison: Comparison, proposed: Sequence[Proposal]) -> str:
    """Return the answer for people."""
    days = sorted(comparison.window.shown)
    part = share(comparison)
    of_it = f" ({part:.1%} of it)" if part is not None else ""
    head = (
        f"{comparison.bill.provider} billed {usd(comparison.billed)} for {days[0]} to {days[-1]} (UTC), and "
        f"{usd(comparison.recorded)}{of_it} was recorded. The difference, by cause:"
    )
    lines = [head, "", _causes(comparison), *_findings(comparison)]
    if comparison.suspects:
        lines += ["", "Recorded calls to suspect:"]
        for each in comparison.suspects:
            tier = f" ({each.tier})" if each.tier else ""
            dollars = f", {usd(each.nusd)}" if each.nusd else ""
            lines.append(f"  {each.calls:,} of {each.of:,} calls of {shown(each.model)}{tier}{dollars}: {each.why}")
    if proposed:
        lines += ["", "Prices that the bill shows (--write-prices FILE writes them):"]
        lines += [f"  {shown(one.text)}" for one in proposed]
    return "\n".join([*lines, *_notes(comparison)])


def _findings(comparison: Comparison) -> list[str]:
    large = [one for one in comparison.findings if one.size >= max(1_000_000, comparison.billed // 10_000)]
    lines = [f"  {_amount(one):>14}  {one.cause}: {shown(one.text)}" for one in large[:_MOST]]
    if len(large) > _MOST:
        lines.append(f"  ... and {len(large) - _MOST} more (--format json has all)")
    return ["", "What to look at:", *lines] if lines else []


def _causes(comparison: Comparison) -> str:
    found = comparison.causes
    rows: list[tuple[str, str, str]] = [(cause, _MEANINGS[cause], usd(found[cause])) for cause in CAUSES]
    rows.append(("total", "", usd(comparison.billed - comparison.recorded)))
    return table(("cause", "", "dollars"), rows, 2)


def _amount(one: Finding) -> str:
    return usd(one.nusd) if abs(one.nusd) >= one.moved else f"{usd(one.moved)} moved"


def _notes(comparison: Comparison) -> list[str]:
    notes = list(comparison.bill.notes)
    window = comparison.window
    if not comparison.counted.calls:
        names = " or ".join(sorted(comparison.bill.names))
        notes.append(f"NO CALL of {names} is recorded for these days: see that --source names the right store.")
    if window.opened:
        notes.append(f"Not over yet: {', '.join(sorted(window.opened))}. All of their difference counts as time.")
    if later := sorted(window.provisional - window.opened):
        notes.append(f"Provisional: the bill of {', '.join(later)} may still change.")
    return ["", *notes] if notes else []


def as_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return each cell with its causes."""
    return [_row(cell, comparison) for cell in comparison.differences]


def _row(cell: Difference, comparison: Comparison) -> dict[str, Any]:
    return {
        "day": cell.day,
        "model": comparison.spelled(cell.model),
        "tier": cell.tier,
        "kind": cell.kind,
        "billed_tokens": cell.billed_tokens,
        "recorded_tokens": cell.counted_tokens,
        "estimated_tokens": cell.estimated_tokens,
        "unseen_requests": cell.unseen,
        "billed_nano_usd": cell.billed,
        "list_nano_usd": cell.list_billed,
        "recorded_nano_usd": cell.counted,
        "difference_nano_usd": cell.difference,
        **{f"{cause.replace(' ', '_')}_nano_usd": cell.causes.get(cause, 0) for cause in CAUSES},
        "provisional": cell.provisional,
    }


def as_csv(comparison: Comparison) -> str:
    """Return each cell for a spreadsheet."""
    return csv_of(as_rows(comparison))


def as_json(comparison: Comparison, proposed: Sequence[Proposal]) -> dict[str, Any]:
    """Return the answer for a program."""
    return {
        "provider": comparison.bill.provider,
        "bill": comparison.bill.origin,
        "days": sorted(comparison.window.shown),
        "provisional_days": sorted(comparison.window.provisional),
        "billed_usd": as_float(comparison.billed),
        "billed_nano_usd": comparison.billed,
        "recorded_usd": as_float(comparison.recorded),
        "recorded_nano_usd": comparison.recorded,
        "ratio": share(comparison),
        "difference_nano_usd": comparison.billed - comparison.recorded,
        "causes_nano_usd": dict(comparison.causes),
        "findings": [
            {
                "cause": one.cause,
                "model": comparison.spelled(one.model),
                "tier": one.tier,
                "nano_usd": one.nusd,
                "moved_nano_usd": one.moved,
                "first_day": one.first,
                "last_day": one.last,
                "tokens": one.tokens,
                "unseen_requests": one.requests,
                "text": one.text,
            }
            for one in comparison.findings
        ],
        "suspects": [one._asdict() for one in comparison.suspects],
        "proposals": [
            {"model": one.model, "tier": one.tier, "since": one.since, "ratio": float(one.ratio), "text": one.text}
            for one in proposed
        ],
        "notes": list(comparison.bill.notes),
        "cells": as_rows(comparison),
    }
