"""The cost of a call in bytecode instructions, which a busy machine does not change."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tools.documents import ROOT

MEASURED = 14_900
"""Instructions that an OpenAI chat adds, by `python -m tools.opcodes`, with the versions below."""
MEASURED_WITH = {"python": "3.11", "opentelemetry-sdk": "1.45.1", "openai": "3.57.0"}


def test_a_chat_never_gets_much_slower_unnoticed() -> None:
    """At most 5 % above the last measurement: a change that costs more is one to decide on."""
    here = {name: version(name) for name in ("opentelemetry-sdk", "openai")}
    here["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != MEASURED_WITH:
        pytest.skip(f"the limit is for {MEASURED_WITH}, here are {here}")
    command = [sys.executable, "-m", "tools.opcodes", "openai chat sync"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout
    name, _, count = printed.splitlines()[0].rpartition(" ")
    assert name.strip() == "openai chat sync"
    assert MEASURED / 2 < int(count) <= MEASURED * 1.05
