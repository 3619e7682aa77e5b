"""The command `agentcost` as a process of its own: `python -m tests.cli.agentcost`."""

from __future__ import annotations

import sys

from otel_agentcost.cli import main

if __name__ == "__main__":
    sys.exit(main())
