"""Changes a request before it is sent: a lower output limit, or another model. The facet `rewriting`, and its parts.

A limit is never raised, no object of the application is changed, and what cannot be changed for certain raises
`CannotRewrite`: a request that only seems limited would overspend its budget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Final, cast
from urllib.parse import quote as escaped

from otel_agentcost.core.call import Call
from otel_agentcost.wire.fields import quote
from otel_agentcost.wire.format import CannotRewrite, Change, Rewritten

__all__ = [
    "NO_OTHER_VECTORS",
    "FieldRewriting",
    "ModelRewriting",
    "NoRewriting",
    "copied",
    "fit_thinking",
    "limit_name",
    "lower",
    "lower_in",
    "rename",
    "unchanged",
]

NO_OTHER_VECTORS: Final = "embeddings of different models cannot be compared"

OTHER_MODELS: Final = ("models", "fallbacks")
"""Fields that name models which may answer instead of the requested one (OpenRouter; Anthropic)."""
LEAST_THINKING: Final = 1024
"""The least `budget_tokens`, which must be less than `max_tokens` (Anthropic's documentation of extended thinking)."""
THINKING: Final = (("thinking", "budget_tokens"), ("reasoning", "max_tokens"))
"""Where a request sets a budget for thinking: Anthropic, also passed on in a chat; OpenRouter."""


# --- Facets -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldRewriting:
    """The facet for bodies with the model in `model` and an output limit in one of several fields."""

    limits: tuple[str, ...]
    """The fields that limit the output, in tokens per choice; the first is set if a request has none of them."""
    least: int = 1
    """The lowest limit that the provider accepts."""
    others: tuple[str, ...] = OTHER_MODELS
    """Fields that name models which may answer instead of the requested one."""
    thinking: tuple[tuple[str, str], ...] = THINKING
    """Where a request sets a budget for thinking, as object and field."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            path = rename(body, path, change.model, others=self.others)
        lower_in(call, body, change, *self.limits, least=self.least, thinking=self.thinking)
        return body, path


class ModelRewriting:
    """The facet for formats with a model and without an output limit."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body, path = unchanged(call, path, Change(max_output_tokens=change.max_output_tokens))
        return body, path if change.model is None else rename(body, path, change.model)


@dataclass(frozen=True, slots=True)
class NoRewriting:
    """The facet for formats without an output limit whose model cannot be replaced."""

    because: str = "it cannot be asked of another model"
    """Why the model cannot be replaced."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return a copy of the body, and the path. Raises `CannotRewrite` for every change that is necessary."""
        return unchanged(call, path, change, because=self.because)


def copied(call: Call) -> dict[str, Any]:
    """Return a copy of the body to change; its values still belong to the application. Raises `CannotRewrite`."""
    body: Any = call.body
    if not isinstance(body, Mapping):
        raise CannotRewrite("its body is no JSON object")
    return dict(cast("Mapping[str, Any]", body))


def unchanged(
    call: Call, path: str, change: Change, *, because: str = "it cannot be asked of another model"
) -> Rewritten:
    """Return a copy of the body, and the path, for a request with neither a model to replace nor an output limit.

    Raises:
        CannotRewrite: `change` needs another model, or a limit that the request does not already have.
    """
    if change.model is not None:
        raise CannotRewrite(because)
    most, limit = change.max_output_tokens, call.max_output_tokens
    if most is not None and (limit is None or limit > most):
        raise CannotRewrite("requests of its kind have no output limit")
    return copied(call), path


# --- The model --------------------------------------------------------------------------------------------------------


def rename(body: dict[str, Any], path: str, model: str, *, others: tuple[str, ...] = OTHER_MODELS) -> str:
    """Set `model` in `body`, and in an Azure path that names the deployment.

    Args:
        body: The body, which is changed.
        path: The path of the request.
        model: The new model.
        others: Fields that name models which may answer instead.

    Returns:
        The path.

    Raises:
        CannotRewrite: The request names no model, or others besides.
    """
    if any(body.get(name) for name in others):
        raise CannotRewrite("it names other models that may answer it")
    before, deployments, after = path.partition("/deployments/")
    if deployments:
        path = f"{before}{deployments}{escaped(model, safe='')}{after[len(after.partition('/')[0]) :]}"
        if "model" not in body:
            return path
    elif body.get("model") is None:
        raise CannotRewrite("it names its model in no place that is known")
    body["model"] = model
    return path


# --- The output limit -------------------------------------------------------------------------------------------------


def lower(fields: dict[str, Any], names: tuple[str, ...], most: int, *, default: str = "", least: int = 1) -> int:
    """Lower every limit of `names` that is set in `fields` to `most`, or set a limit if there is none.

    Args:
        fields: The object with the limits, which is changed.
        names: The fields that are limits.
        most: The new limit in tokens.
        default: The field to set if no limit is set; the first of `names` if empty.
        least: The lowest limit that the provider accepts.

    Returns:
        The lowest of the limits.

    Raises:
        CannotRewrite: `most` is below `least`, or a limit is no number.
    """
    present = [name for name in names if name in fields]
    limited = [name for name in present if fields[name] is not None]
    for name in limited or present[:1] or [default or names[0]]:
        value = _at_most(fields.get(name), most, name)
        if value is most and most < least:
            raise CannotRewrite(f"{name} must be at least {least}, and is to be {most}")
        fields[name] = value
    return min((fields[name] for name in limited), default=most)


def _at_most(limit: Any, most: int, name: str) -> int:
    if limit is None:
        return most
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or isnan(limit):
        raise CannotRewrite(f"{name} is {quote(limit)}, which is no number of tokens")
    return int(limit) if 0 <= limit <= most else most  # some servers take -1 for "as many as you like"


def lower_in(
    call: Call,
    body: dict[str, Any],
    change: Change,
    *names: str,
    default: str = "",
    least: int = 1,
    thinking: tuple[tuple[str, str], ...] = THINKING,
) -> None:
    """Apply `lower` to the body of a request, and `fit_thinking` to the budgets for thinking within the limit."""
    most = change.max_output_tokens
    if most is None:
        return
    most = lower(body, names, most, default=default, least=least)
    for place, name in thinking:
        fit_thinking(body, (place,), (name,), before=call.max_output_tokens, most=most, least=LEAST_THINKING)


def fit_thinking(
    fields: dict[str, Any],
    places: tuple[str, ...],
    names: tuple[str, ...],
    *,
    before: int | None,
    most: int,
    least: int,
) -> None:
    """Lower a budget for thinking to the share of the new limit `most` that it had of the limit `before`.

    A budget that fits stays unchanged, and so does a budget that exceeded the limit before (interleaved thinking).

    Args:
        fields: The object that may hold a budget, which is changed.
        places: The fields of that object with settings for thinking.
        names: The fields of those settings with a budget.
        before: The old limit in tokens; None if there was none.
        most: The new limit in tokens.
        least: The least budget that the provider accepts.

    Raises:
        CannotRewrite: The least budget leaves no tokens for an answer.
    """
    for place in places:
        thinking = fields.get(place)
        if not isinstance(thinking, Mapping):
            continue
        known = dict(cast("Mapping[str, Any]", thinking))
        for name in names:
            budget = known.get(name)
            if type(budget) is not int or budget < most or (before is not None and before <= budget):
                continue
            if most <= least:
                raise CannotRewrite(f"it thinks, which takes {least} tokens at least, and {most} are left for all")
            known[name] = max(least, most // 2 if before is None else budget * most // before)
            fields[place] = known


_THINKERS: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
"""OpenAI's models that refuse `max_tokens`, with any prefix of a gateway."""


def limit_name(change: Change, model: str | None) -> str:
    """Return the field for the limit of a chat without one: OpenAI's own, or the one that all compatible servers know.

    At an unknown address, the provider is only a guess from the SDK; there, only OpenAI's model names are evidence.
    """
    openai = change.provider == "azure.ai.openai" or (change.provider == "openai" and change.known)
    return "max_completion_tokens" if openai or _THINKERS.match(model or "") else "max_tokens"
