"""`python -m grafana.alerts`: writes the rules for Prometheus and for Grafana."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.alerts.files import files
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import changed


def main() -> None:
    """Writes under `grafana/`, or under another folder."""
    asked = argparse.ArgumentParser(prog="python -m grafana.alerts", description=__doc__)
    asked.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="another threshold")
    asked.add_argument("--write", type=Path, default=Path(__file__).parent.parent, metavar="DIR", help="where to")
    asked.add_argument("--datasource", default="prometheus", metavar="UID", help="Prometheus's uid in Grafana")
    asked.add_argument("--runbook", default="docs/alerts.md", metavar="URL", help="where docs/alerts.md is read")
    given = asked.parse_args()
    try:
        table = alerts(changed(given.set))
    except ValueError as error:
        sys.exit(f"--set: {error}")
    for path, text in files(table, datasource=given.datasource, runbook=given.runbook).items():
        target = given.write / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
