"""Keeps these tests quick: most of them make clients, and collect garbage to see what is left of a dropped stream."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support.call_shapes")


@pytest.fixture(scope="session", autouse=True)
def imported_modules_are_not_collected() -> Iterator[None]:
    """The SDKs come to 200,000 objects: looking through all of them twice a test would take most of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test speaks TLS, but every client loads all the world's certificates: one of them makes that instant."""
    found = importlib.util.find_spec("certifi")
    if found is None or found.origin is None:
        yield
        return
    end = "-----END CERTIFICATE-----\n"
    first = Path(found.origin).with_name("cacert.pem").read_text(encoding="utf-8").partition(end)[0] + end
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(first[first.index("-----BEGIN") :], encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield
