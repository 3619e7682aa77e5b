"""Defines what an alert consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

GROUPS: Final = {"agentcost-now": "1m", "agentcost-day": "15m", "agentcost-collector": "1m"}
"""Evaluation interval of each group. Queries over a week are expensive and not urgent."""
Group = Literal["agentcost-now", "agentcost-day", "agentcost-collector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: it fires for each series of `query` whose value exceeds `threshold` (or reaches it, for `>=`)."""

    name: str
    group: Group
    severity: Literal["critical", "warning", "info"]
    query: str
    """PromQL. The summary shows its value; without data there is no alert."""
    comparison: Literal[">", ">="] = ">"
    threshold: float
    pending: str = "0m"
    """How long the condition must hold before the alert fires."""
    unit: Literal["dollars", "share", "times", "count"]
    """Format of the value in the summary."""
    summary: str
    """One line with the markers `{value}` and labels such as `{service_name}`."""
    description: str
    """Explanation and first steps."""

    @property
    def rule(self) -> str:
        """The complete condition in PromQL."""
        return f"{self.query} {self.comparison} {number(self.threshold)}"

    @property
    def uid(self) -> str:
        """Id of the rule in Grafana."""
        return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in self.name).lstrip("-")


def number(value: float) -> str:
    """Return a number in the notation of PromQL and Grafana."""
    return f"{value:g}"
