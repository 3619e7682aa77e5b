"""The options of the commands that read the spend store: where it is, and the period; and how it is opened."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import tzinfo
from typing import NamedTuple

from otel_agentcost.cli._data_folder import store_url
from otel_agentcost.settings import Settings, from_environment
from otel_agentcost.store.periods import ALLOWED, period
from otel_agentcost.store.questions import GROUPINGS, SINGLE, Source, UnclearQuestion, groupings
from otel_agentcost.store.single_calls import Detailed
from otel_agentcost.store.sources import open_detailed, open_source


class Asked(NamedTuple):
    """The part of a question that these commands share."""

    settings: Settings
    now: float
    """The time in seconds since the epoch."""
    since: float | None
    until: float | None
    url: str
    """The store, or another source."""

    @contextmanager
    def source(self) -> Generator[Source]:
        """Open the source, and close it at the end. Raises `AgentCostError`."""
        source = open_source(self.url)
        try:
            yield source
        finally:
            source.close()

    @contextmanager
    def single_calls(self) -> Generator[Detailed]:
        """Open the source for its single calls, and say on standard error what they lack. Raises `AgentCostError`."""
        with open_detailed(self.url) as source:
            if source.lacks:
                print(source.lacks, file=sys.stderr)
            yield source


def asked(arguments: argparse.Namespace, zone: tzinfo | None = None) -> Asked:
    """Return the question of the options below.

    Args:
        arguments: The options.
        zone: The time zone of days; None for that of the settings.

    Raises:
        UnclearPeriod: The period cannot be understood.
    """
    settings, now = from_environment(), time.time()
    since, until = period(arguments.since, arguments.until, now, zone or settings.time_zone)
    return Asked(settings, now, since, until, source_url(arguments, settings))


def add_period(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--since`, with a default, and `--until`."""
    parser.add_argument(
        "--since", default=default, metavar="TIME", help=f"The beginning: {ALLOWED}. Default: {default}."
    )
    parser.add_argument("--until", metavar="TIME", help="The end; a day is included. Default: now.")


def named_groupings(written: str) -> tuple[str, ...]:
    """Return the groupings of `--by`. Raises `UnclearQuestion` if one is unknown, or if there is none."""
    found = groupings(written)
    if not found:
        raise UnclearQuestion(f"No grouping is named in {written!r:.60}. There are {', '.join((*GROUPINGS, *SINGLE))}.")
    return found


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
