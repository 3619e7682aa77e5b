"""The change that writes labels for the provider's bill into requests.

What reads a request (loop detection, budgets, fingerprints, content capture) sees it without the labels. Nothing here
runs, and nothing is imported, unless the setting `bill_labels` names some.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.calls.changes import Takes
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit
from otel_agentcost.wire.format import ModelRequest

ATTRIBUTES: Final[Mapping[str, str]] = {
    "user": semconv.USER,
    "tenant": semconv.TENANT,
    "team": semconv.TEAM,
    "feature": semconv.FEATURE,
    "agent": semconv.AGENT,
}
"""The labels that there are, and the span attributes with their values."""


class BillLabelling:
    """Writes labels into the requests of SDKs and HTTP clients, where the wire format takes them."""

    name = "labels for the bill"

    def __init__(self, names: tuple[str, ...]) -> None:
        """Create the change.

        Args:
            names: The labels, of `ATTRIBUTES`.
        """
        self._names = names

    def edit(self, request: ModelRequest, record: Record, at: float, takes: Takes) -> Edit | None:
        """Return the change that writes the labels of a call; None if there is nothing to write."""
        del at
        facet, who = request.format.bill_labels, record.attribution
        labels = {name: who[ATTRIBUTES[name]] for name in self._names if ATTRIBUTES[name] in who}
        if facet is None or not labels or not takes("requestMetadata"):
            return None

        def labelled(body: dict[str, Any], path: str) -> dict[str, Any] | None:
            return facet.labelled(body, path, request.endpoint, labels)

        return Edit(labelled)
