"""The commands in the documentation, run as they stand there."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest

from otel_agentcost.cli import _parser, main
from otel_agentcost.core.cache_store import tenant_scope
from otel_agentcost.savings.stores import open_store
from tests.store.recorded import a_call, writer_of
from tools.documents import README, ROOT

PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^ {4}(?:\$ )?agentcost ([^#\n]+)|`agentcost ([^`]+)`", re.MULTILINE)
COMMANDS = sorted(
    {(found[1] or found[2]).strip() for page in PAGES for found in COMMAND.finditer(page.read_text("utf-8"))}
)
PRICES = (ROOT / "docs" / "prices.md").read_text("utf-8")


@pytest.fixture
def directory(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of docs/prices.md is, with the files of its examples."""
    examples = [part.partition("```")[0] for part in PRICES.split("```yaml\n")[1:]]
    for name, example in zip(("prices.yaml", "special.yaml"), examples, strict=True):
        (tmp_path / name).write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_AGENTCOST_LEDGER", f"sqlite:///{tmp_path}/ledger.db")  # as on the page of batches
    monkeypatch.setenv("OTEL_AGENTCOST_BUDGETS", "user/day:usd=1")
    url = f"sqlite:///{tmp_path_factory.mktemp('cache')}/cache.db"
    monkeypatch.setenv("OTEL_AGENTCOST_CACHE_STORE", url)
    cache = open_store(url)  # as a program makes it with its first answer
    cache.put("key", tenant_scope("acme"), b"x", time.time(), time.time() + 60)
    cache.close()
    store = tmp_path_factory.mktemp("store") / "spend.db"
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", f"sqlite:///{store}")
    writer = writer_of(store)
    writer.settled(a_call())
    writer.close()
    return tmp_path


# These start seconds of work, or need a provider or a store of their own: their tests, in tests/cli, run them. `doctor`
# stands there as it does on the pages.
ELSEWHERE = ("cache report", "demo", "doctor", "reconcile", "run", "spend --from clickhouse", "what-if")


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(ELSEWHERE)])
def test_a_documented_command_works(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a page tells its reader to run does what the page says, in a folder with the page's own files."""
    if re.match("prices (diff|sync)", command):
        pytest.importorskip("genai_prices", reason="genai-prices needs Python 3.11")
    code = main(shlex.split(command.partition(" > ")[0]))
    streams = capsys.readouterr()
    assert (code, streams.err) == (0, ""), streams.out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith(ELSEWHERE)])
def test_a_documented_way_to_start_the_demo_or_the_doctor_is_understood(command: str) -> None:
    """Its arguments exist; what they do is in `tests/cli`."""
    name = command.split(maxsplit=1)[0]
    assert _parser(name).parse_args(shlex.split(command)).command == name


@pytest.mark.parametrize(
    "model", ["house-model", "fast-claude", "dated", "nightly", "working-days", "tiered", "with-terms"]
)
def test_the_models_of_the_examples_have_prices(
    model: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`prices show` finds every model that the examples price whoever the provider is."""
    (file,) = (file for file in directory.iterdir() if f"\n  {model}:" in file.read_text("utf-8"))
    assert main(["prices", "show", model, "--prices", str(file)]) == 0
    assert "per million tokens" in capsys.readouterr().out


def test_the_pages_have_commands() -> None:
    """The pages are where they are looked for, and say how to look up a price, check a file, and compare books."""
    words = {" ".join(command.split()[:2]) for command in COMMANDS}
    assert {"prices show", "prices check", "prices diff", "prices sync", "demo --replay"} <= words
