"""Opening a ledger by its URL, and what is said where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard import ledger as ledgers
from otel_agentcost.guard.ledger import LedgerError, open_ledger
from tests.guard.ledger.calls import NOW, amounts, claim, stands


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgres://u:s3cret@db/x", "has an unknown scheme: write memory://"),
        ("memory", "has an unknown scheme: write memory://"),
        ("", "has an unknown scheme: write memory://"),
        ("_memory_accounts://", "has an unknown scheme: write memory://"),
        ("memory://s3cret:s3cret@host", "takes none"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/x", "names no file"),
        ("sqlite:///ledger.db?mode=ro", "a file takes none"),
        pytest.param(
            "sqlite:///C:\\data\\ledger.db",
            "is in a path of Windows, and this system is not",
            marks=pytest.mark.skipif(os.name == "nt", reason="this system is Windows"),
        ),
        ("redis://:s3cret@host:port/0", "cannot be parsed"),
        ("redis://:s3cret/@s3cret@host:1/0?socket_timeout=soon", "cannot be parsed"),
        ("redis://host/0?password=s3cret&no_such_option=1", "cannot be parsed"),
        ("rediss://host/0?password=s3cret&ssl_cert_reqs=perhaps", "cannot be parsed"),
    ],
)
def test_a_url_that_names_no_ledger(url: str, says: str) -> None:
    """One sentence that quotes the URL, without its password, and is one of this package's errors."""
    with pytest.raises(LedgerError) as raised:
        open_ledger(url)
    assert isinstance(raised.value, AgentCostError)
    text = str(raised.value)
    assert says in text
    assert "s3cret" not in text
    assert text.endswith(".")
    assert text.count("\n") == 0


def test_every_kind_is_found_by_its_name(tmp_path: Path) -> None:
    """Each module of the folder is a scheme, in any case; Valkey and TLS are Redis' module."""
    kinds = {file.stem for file in Path(ledgers.__file__).parent.glob("[a-z]*.py")}
    assert kinds == {"memory", "sqlite", "redis", "rediss", "valkey", "valkeys"}
    for url in ("memory://", "MEMORY://", f"sqlite:///{tmp_path}/x", "redis://h", "rediss://h", "valkey://h:1/2"):
        ledger = open_ledger(url)
        assert type(ledger).__module__.startswith(ledgers.__name__)
        ledger.close()


def test_a_path_after_three_slashes_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to where the program was when it opened the ledger; with a fourth slash absolute; `~` is home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    opened = [open_ledger(url) for url in ("sqlite:///a.db", f"sqlite:///{tmp_path}/b.db", "sqlite:///~/c.db")]
    monkeypatch.chdir("/")
    for ledger in opened:
        assert ledger.standing("k", now=NOW) == stands()
        ledger.close()
    assert all((tmp_path / name).is_file() for name in ("a.db", "b.db", "home/c.db"))


def test_opening_connects_to_nothing(tmp_path: Path) -> None:
    """Neither a file nor a connection is made before the first verb."""
    open_ledger(f"sqlite:///{tmp_path}/x.db")
    open_ledger("redis://127.0.0.1:1/0")
    assert list(tmp_path.iterdir()) == []


def test_the_memory_ledger_loads_no_database() -> None:
    """Opening the default ledger imports neither sqlite3 nor redis."""
    code = (
        "import sys; from otel_agentcost.guard.ledger import open_ledger; open_ledger('memory://');"
        "print({'sqlite3', 'redis'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "set()\n"


def test_without_redis_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where redis-py is not installed, the sentence says which extra brings it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    for name in ("redis.backoff", "redis.retry"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LedgerError, match=r"otel-agentcost\[redis\]"):
        open_ledger("redis://host")


def test_a_claim_may_count_without_a_limit() -> None:
    """A key without limits is counted, for utilisation and reports, and never refuses."""
    ledger = open_ledger("memory://")
    assert ledger.reserve("a", [claim()], amounts(10**18), now=NOW, lease=1) is None
    assert ledger.standing(claim().key, now=NOW) == stands(held=amounts(10**18))
