"""`agentcost cache clear` and `stats`: what they remove and show, and what they refuse."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from otel_agentcost.cli import main
from otel_agentcost.core.cache_store import CacheStore, tenant_scope, user_scope
from otel_agentcost.savings.stores import open_store
from otel_agentcost.savings.stores._opening import sealed
from tests.support.redis_server import Server


def fill(store: CacheStore) -> None:
    now = time.time()
    for i in range(5):
        store.put(f"acme{i}", tenant_scope("acme"), b"x" * 1000, now, now + 60)
    store.put("bob", user_scope("bob"), b"x", now, now + 60)
    store.put("over", user_scope("bob"), b"x", now - 60, now - 1)
    store.close()


def test_one_scope_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenant's entries go, then a user's, then all; what is encrypted needs no key to be removed."""
    url = f"sqlite:///{tmp_path}/cache.db"
    fill(sealed(url, Fernet.generate_key().decode()))
    monkeypatch.setenv("OTEL_AGENTCOST_CACHE_STORE", url)
    assert main(["cache", "stats", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["entries"] == 6
    assert 5_000 < found["bytes"] < 7_000
    for words, said in (
        (["clear", "--tenant", "nobody"], "0 entries removed."),
        (["clear", "--tenant", "acme"], "5 entries removed."),
        (["stats"], "1 entry, 0.0 MB"),
        (["clear", "--user", "bob"], " removed."),
        (["clear", "--all"], "0 entries removed."),
    ):
        assert main(["cache", *words]) == 0
        assert said in capsys.readouterr().out


def test_a_server_is_cleared(redis_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """`--store` overrides the settings."""
    redis_server.empty()
    fill(open_store(redis_server.url))
    assert main(["cache", "clear", "--tenant", "acme", "--store", redis_server.url]) == 0
    assert main(["cache", "clear", "--all", "--store", redis_server.url]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "5 entries removed."
    assert out[1] in ("1 entry removed.", "2 entries removed.")  # the server may have forgotten the one that expired


def test_a_cache_in_memory_is_not_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a shared store there is nothing to clear from here: the sentence says what to set."""
    assert main(["cache", "clear", "--all"]) == 2
    assert "OTEL_AGENTCOST_CACHE_STORE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["cache", "clear"])


@pytest.mark.parametrize(
    "words", [["stats"], ["clear", "--all"], ["clear", "--tenant", "acme"], ["clear", "--user", "u"]]
)
def test_a_file_that_is_not_there_is_no_empty_cache(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped path is said, and nothing is made."""
    path = tmp_path / "no" / "cache.db"
    for each in (path, tmp_path / "cache.db"):
        assert main(["cache", *words, "--store", f"sqlite:///{each}"]) == 2
        streams = capsys.readouterr()
        assert f"There is no cache at {each}" in streams.err
        assert (streams.out, streams.err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--tenant", "--user"])
@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_nobody(option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that is not set clears nothing, and does not report success."""
    url = f"sqlite:///{tmp_path}/cache.db"
    fill(open_store(url))
    assert main(["cache", "clear", option, name, "--store", url]) == 2
    assert f"{option} names nobody" in capsys.readouterr().err
