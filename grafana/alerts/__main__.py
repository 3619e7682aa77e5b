"""`python -m grafana.alerts`: write the rules for Prometheus and for Grafana."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.alerts.files import files
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import changed


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m grafana.alerts", description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="change a threshold")
    parser.add_argument("--write", type=Path, default=Path(__file__).parent.parent, metavar="DIR", help="output folder")
    parser.add_argument("--datasource", default="prometheus", metavar="UID", help="data source in Grafana")
    parser.add_argument("--runbook", default="docs/alerts.md", metavar="URL", help="where docs/alerts.md is published")
    options = parser.parse_args()
    try:
        table = alerts(changed(options.set))
    except ValueError as error:
        sys.exit(f"--set: {error}")
    for path, text in files(table, datasource=options.datasource, runbook=options.runbook).items():
        target = options.write / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
