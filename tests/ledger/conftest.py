"""The Redis server of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ledger.servers import Server, binary


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The server's program; the tests that need it are skipped, with the reason, where there is none."""
    found = binary()
    if found is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    return found


@pytest.fixture(scope="session")
def redis_server(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each empties it."""
    server = Server(redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()
