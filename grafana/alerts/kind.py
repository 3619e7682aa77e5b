"""What an alert is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

GROUPS: Final = {"agentcost-now": "1m", "agentcost-day": "15m", "agentcost-collector": "1m"}
"""How often each group of alerts is worked out. Questions about a week are dear, and in no hurry."""
Group = Literal["agentcost-now", "agentcost-day", "agentcost-collector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: it fires for each series of `query` whose value is above (or at) `threshold`."""

    name: str
    group: Group
    severity: Literal["critical", "warning", "info"]
    query: str
    """PromQL. Its value is what the summary shows; without data there is no alert."""
    comparison: Literal[">", ">="] = ">"
    threshold: float
    hold: str = "0m"
    """For how long it must be so before it is told."""
    shown: Literal["dollars", "share", "times", "count"]
    """What kind of number the value is."""
    summary: str
    """One line, with `{value}` and labels: `{service_name}`."""
    means: str
    """What has happened, and where to look first."""

    @property
    def rule(self) -> str:
        """The whole condition in PromQL."""
        return f"{self.query} {self.comparison} {number(self.threshold)}"

    @property
    def uid(self) -> str:
        """A name that Grafana takes as the id of a rule."""
        return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in self.name).lstrip("-")


def number(value: float) -> str:
    """A number as PromQL and Grafana write it."""
    return f"{value:g}"
