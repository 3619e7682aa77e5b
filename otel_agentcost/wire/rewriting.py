"""Changing a request before it is sent: a lower output limit, or another model. What the wire formats share for it.

Each format says in its `rewrite` which fields these are; here is what is done to them. A limit is never raised, nothing
that belongs to the application is changed, and what cannot be changed for certain raises `CannotRewrite`: a request
that only seems to be limited would overspend. Called by the formats of this folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isnan
from typing import Any, Final, cast
from urllib.parse import quote as escaped

from otel_agentcost.core.call import Call
from otel_agentcost.wire.fields import quote
from otel_agentcost.wire.format import CannotRewrite, Change

__all__ = [
    "NO_OTHER_VECTORS",
    "Rewritten",
    "copied",
    "fit_thinking",
    "kept",
    "limit_name",
    "lower",
    "lower_in",
    "rename",
    "renamed",
]

Rewritten = tuple[dict[str, Any], str]
"""The body and the path of the request as it is to be sent."""


NO_OTHER_VECTORS: Final = "embeddings of different models cannot be compared"


def copied(call: Call) -> dict[str, Any]:
    """The body of the request, to be changed: its values are still the application's. Raises `CannotRewrite`."""
    body: Any = call.body
    if not isinstance(body, Mapping):
        raise CannotRewrite("its body is no JSON object")
    return dict(cast("Mapping[str, Any]", body))


# --- The model --------------------------------------------------------------------------------------------------------

_OTHERS: Final = ("models", "fallbacks")
"""Where a request names models that may answer in place of the one asked for (OpenRouter; Anthropic)."""


def rename(body: dict[str, Any], path: str, model: str) -> str:
    """Asks for `model` in `body`, and in an Azure path where that names the deployment; returns the path.

    Raises `CannotRewrite` where the request names no model, or others besides.
    """
    if any(body.get(name) for name in _OTHERS):
        raise CannotRewrite("it names other models that may answer it")
    before, found, after = path.partition("/deployments/")
    if found:
        path = f"{before}{found}{escaped(model, safe='')}{after[len(after.partition('/')[0]) :]}"
        if "model" not in body:
            return path
    elif body.get("model") is None:
        raise CannotRewrite("it names its model in no place that is known")
    body["model"] = model
    return path


def renamed(call: Call, path: str, change: Change) -> Rewritten:
    """The whole of `rewrite` for a format that has a model and no output limit."""
    body, path = kept(call, path, Change(max_output_tokens=change.max_output_tokens))
    return body, path if change.model is None else rename(body, path, change.model)


def kept(call: Call, path: str, change: Change, *, because: str = "it cannot be asked of another model") -> Rewritten:
    """The whole of `rewrite` for a format that has neither: as it is, or `CannotRewrite`."""
    if change.model is not None:
        raise CannotRewrite(because)
    most, limit = change.max_output_tokens, call.max_output_tokens
    if most is not None and (limit is None or limit > most):
        raise CannotRewrite("requests of its kind have no output limit")
    return copied(call), path


# --- The output limit -------------------------------------------------------------------------------------------------


def lower(fields: dict[str, Any], names: tuple[str, ...], most: int, *, default: str = "", least: int = 1) -> int:
    """Lowers every limit of `names` that is set in `fields` to `most`, or sets `default` where none is.

    Returns the lowest of them. Raises `CannotRewrite` where the provider takes no limit as low as that (`least`), and
    for a limit that is no number.
    """
    present = [name for name in names if name in fields]
    given = [name for name in present if fields[name] is not None]
    for name in given or present[:1] or [default or names[0]]:
        value = _at_most(fields.get(name), most, name)
        if value is most and most < least:
            raise CannotRewrite(f"{name} must be at least {least}, and is to be {most}")
        fields[name] = value
    return min((fields[name] for name in given), default=most)


def _at_most(given: Any, most: int, name: str) -> int:
    if given is None:
        return most
    if isinstance(given, bool) or not isinstance(given, (int, float)) or isnan(given):
        raise CannotRewrite(f"{name} is {quote(given)}, which is no number of tokens")
    return int(given) if 0 <= given <= most else most  # some servers take -1 for "as many as you like"


def lower_in(call: Call, body: dict[str, Any], change: Change, *names: str, default: str = "", least: int = 1) -> None:
    """`lower` in the body of a request, and the thinking within the limit with it."""
    most = change.max_output_tokens
    if most is None:
        return
    most = lower(body, names, most, default=default, least=least)
    for place, name in _THINKING:
        fit_thinking(body, (place,), (name,), before=call.max_output_tokens, most=most, least=LEAST_THINKING)


LEAST_THINKING: Final = 1024
"""The least `budget_tokens`, which must be less than `max_tokens` (Anthropic's documentation of extended thinking)."""
_THINKING: Final = (("thinking", "budget_tokens"), ("reasoning", "max_tokens"))
"""Anthropic, and who passes it on in a chat; OpenRouter."""


def fit_thinking(
    fields: dict[str, Any],
    places: tuple[str, ...],
    names: tuple[str, ...],
    *,
    before: int | None,
    most: int,
    least: int,
) -> None:
    """Lowers a budget for thinking to the share of the new limit `most` that it had of the one `before`.

    A budget that fits already stays as it is, and so does one that was not within the limit before (interleaved
    thinking). Raises `CannotRewrite` where the `least` budget leaves nothing for an answer.
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
"""OpenAI's models that refuse `max_tokens`, under whatever prefix a gateway gives them."""


def limit_name(change: Change, model: str | None) -> str:
    """The field of a chat for a limit where it has none: OpenAI's own, or the one that all who copy it understand.

    At an address that nobody knows, the SDK's own provider is a guess: there only OpenAI's models tell.
    """
    ours = change.provider == "azure.ai.openai" or (change.provider == "openai" and change.known)
    return "max_completion_tokens" if ours or _THINKERS.match(model or "") else "max_tokens"
