"""`python -m otel_agentcost.demo`: the same as `agentcost demo`."""

from __future__ import annotations

import argparse
import sys

from otel_agentcost.cli.demo import add_arguments

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="agentcost demo")
    add_arguments(parser)
    arguments = parser.parse_args()
    sys.exit(arguments.run(arguments))
