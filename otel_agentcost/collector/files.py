"""All files of `collector_config/`, by their relative paths, as they are committed and as `--write` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otel_agentcost.collector import traces
from otel_agentcost.collector.coding_agents import coding_agents_yaml
from otel_agentcost.collector.metrics import metrics_yaml
from otel_agentcost.collector.ottl import attribute
from otel_agentcost.collector.pricing import pricing_yaml
from otel_agentcost.core import aliases
from otel_agentcost.pricebook import PriceBook

__all__ = ["files"]

_SHAPES = Path(__file__).parent / "shapes"
_PLACEHOLDERS = {
    "@GENAI@": traces.GENAI,
    "@CALL@": traces.CALL,
    "@TOOL_CALL@": traces.TOOL_CALL,
    "@ARGUMENTS@": f"Coalesce([{', '.join(attribute(name) for name in aliases.TOOL_ARGUMENTS)}])",
    "@BUDGET@": traces.BUDGET,
    "@REPEATS@": traces.REPEATS,
}
"""Placeholders in the shapes, for expressions that the generated files have too."""


def files(book: PriceBook) -> dict[str, str]:
    """Return the text of each file by its path, with the prices of `book`."""
    return {
        "pricing.yaml": pricing_yaml(book),
        "metrics.yaml": metrics_yaml(),
        "runs.yaml": traces.runs_yaml(),
        "coding-agents.yaml": coding_agents_yaml(book),
        **{path: _fill(text) for path, text in _shapes()},
    }


def _shapes() -> Iterator[tuple[str, str]]:
    """Yield the shapes: the files that are written by hand."""
    for path in sorted(_SHAPES.rglob("*")):
        if path.suffix in {".yaml", ".md"}:
            yield path.relative_to(_SHAPES).as_posix(), path.read_text(encoding="utf-8")


def _fill(text: str) -> str:
    for word, meaning in _PLACEHOLDERS.items():
        text = text.replace(word, meaning)
    return text
