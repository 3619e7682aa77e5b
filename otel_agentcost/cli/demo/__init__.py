"""`agentcost demo`: a research agent, the model server it talks to, and the terminal that shows what it spends.

The agent (`agent.py`) is an ordinary application: it uses the real SDKs and knows nothing of the server, and hardly
anything of this package. The server (`server.py`) is an ordinary model provider: it knows nothing of
telemetry. The terminal (`terminal.py`) reads spans, and nothing else. `app.py` puts the three together.

This module holds the command's arguments; the rest is imported when the command runs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_agentcost.cli import Subparsers

SUMMARY = "Run a research agent against a local model server, and show what it spends; needs no API key."


def add_parser(subparsers: Subparsers) -> None:
    """Adds the subcommand."""
    parser = subparsers.add_parser("demo", help=SUMMARY, description=SUMMARY)
    parser.add_argument(
        "--replay",
        action="store_true",
        help="Replay one run on gpt-4o: ten steps, 38,800 input and 3,200 output tokens, five tool calls, $0.142.",
    )
    parser.add_argument(
        "--sdk",
        choices=("openai", "anthropic", "google", "all"),
        default="all",
        help="Which SDK to run (default: all three).",
    )
    parser.add_argument(
        "--otlp",
        metavar="URL",
        help="Also send spans and metrics to this collector, by OTLP over HTTP, like http://localhost:4318.",
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="Call the real providers, with the API keys in the environment; costs cents.",
    )
    parser.add_argument("--fast", action="store_true", help="Run without pauses.")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo; returns the exit code."""
    from otel_agentcost.cli.demo.app import Options, main  # noqa: PLC0415 (keeps the command line quick to start)

    return main(
        Options(
            sdk=arguments.sdk,
            replay=arguments.replay,
            real=arguments.real,
            otlp=arguments.otlp,
            fast=arguments.fast,
        )
    )
