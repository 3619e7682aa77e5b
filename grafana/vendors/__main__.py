"""`python -m grafana.vendors`: write the files for Honeycomb and Datadog."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana.alerts.thresholds import Thresholds, changed
from grafana.vendors import datadog_files, honeycomb_files


def files(limits: Thresholds) -> dict[str, str]:
    """Return the text of each file by its path under `grafana/vendors/`."""
    by_vendor = {"honeycomb": honeycomb_files.files(limits), "datadog": datadog_files.files(limits)}
    return {f"{vendor}/{path}": text for vendor, texts in by_vendor.items() for path, text in texts.items()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m grafana.vendors", description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="change a threshold")
    parser.add_argument("--write", type=Path, default=Path(__file__).parent, metavar="DIR", help="output folder")
    options = parser.parse_args()
    try:
        texts = files(changed(options.set))
    except ValueError as error:
        sys.exit(f"--set: {error}")
    for path, text in texts.items():
        target = options.write / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
