"""`python -m grafana.vendors`: writes the files for Honeycomb and Datadog."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.alerts.thresholds import Thresholds, changed
from grafana.vendors import datadog_files, honeycomb_files


def files(limits: Thresholds) -> dict[str, str]:
    """All texts, by their paths under `grafana/vendors/`."""
    made = {"honeycomb": honeycomb_files.files(limits), "datadog": datadog_files.files(limits)}
    return {f"{vendor}/{path}": text for vendor, texts in made.items() for path, text in texts.items()}


def main() -> None:
    """Writes under `grafana/vendors/`, or under another folder."""
    asked = argparse.ArgumentParser(prog="python -m grafana.vendors", description=__doc__)
    asked.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="another threshold")
    asked.add_argument("--write", type=Path, default=Path(__file__).parent, metavar="DIR", help="where to")
    given = asked.parse_args()
    try:
        texts = files(changed(given.set))
    except ValueError as error:
        sys.exit(f"--set: {error}")
    for path, text in texts.items():
        target = given.write / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
