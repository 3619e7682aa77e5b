"""The options of the commands that read the spend store: where it is, and the period."""

from __future__ import annotations

import argparse

from otel_agentcost.cli._data_folder import store_url
from otel_agentcost.settings import Settings
from otel_agentcost.store.periods import ALLOWED


def add_period(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--since`, with a default, and `--until`."""
    parser.add_argument(
        "--since", default=default, metavar="TIME", help=f"The beginning: {ALLOWED}. Default: {default}."
    )
    parser.add_argument("--until", metavar="TIME", help="The end; a day is included. Default: now.")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add `--from`, which is also `--source`."""
    parser.add_argument(
        "--from",
        "--source",
        dest="source",
        metavar="URL",
        help="The store: sqlite:////path/to/file, or a backend that has the spans or the metrics: "
        "otlp:///path/to/spans*.json, clickhouse://host:8123/database, prometheus://host:9090. Default: that of "
        "OTEL_AGENTCOST_RECORD, else that of `agentcost run`.",
    )


def source_url(arguments: argparse.Namespace, settings: Settings) -> str:
    """Return the URL of the store that `--source` or a setting names, else of that of `agentcost run`."""
    url: str = arguments.source or settings.record or store_url()
    return url
