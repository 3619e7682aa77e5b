"""Modules that are removed and imported again, or executed anew, are patched again: once, and not for good."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import weakref
import zipfile
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wrapt

from otel_agentcost.integrations import import_hook, sdks
from otel_agentcost.integrations.patching import Patch, Target
from tests.integrations.sdks.test_patching import python

TOY = """
class Client:
    def call(self):
        return "answer"

def call():
    return "answer"
"""
METHOD = Target(module="toy_sdk.base", owner="Client", method="call")
FUNCTION = Target(module="toy_sdk.base", method="call")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that can be imported."""
    package = tmp_path / "toy_sdk"
    package.mkdir()
    (package / "__init__.py").write_text("from toy_sdk.base import Client, call\n", encoding="utf-8")
    (package / "base.py").write_text(TOY, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    purge()


def purge() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_sdk"]:
        del sys.modules[name]


def imported() -> Any:
    importlib.invalidate_caches()
    return importlib.import_module("toy_sdk")


class Counting:
    """A patch that counts its calls."""

    def __init__(self, target: Target) -> None:
        self.calls = 0
        self.patch = Patch(target, self._count)

    def _count(self, wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        return wrapped(*args, **kwargs)

    def __enter__(self) -> Counting:  # noqa: PYI034 (`Self` needs Python 3.11)
        self.patch.install()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.patch.remove()


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("target", [METHOD, FUNCTION], ids=["method", "function"])
def test_a_module_that_is_purged_and_imported_again_does_not_go_unpatched(target: Target, loaded: bool) -> None:
    """Every import is patched, once; those of before stay patched; in the end the module of each is as it was."""
    first = imported() if loaded else None
    modules: list[Any] = []
    with Counting(target) as counting:
        for _ in range(3):
            modules.append(first or imported())
            first = None
            purge()
        for module in modules:
            before = counting.calls
            assert (module.Client().call() if target.owner else module.call()) == "answer"
            assert counting.calls == before + 1
    total = counting.calls
    for module in modules:
        module.base.Client().call()
        module.base.call()
    assert counting.calls == total
    imported().Client().call()
    assert counting.calls == total


@pytest.mark.usefixtures("toy")
def test_a_module_that_is_reloaded_does_not_go_unpatched() -> None:
    """`importlib.reload` makes new classes in the same module."""
    with Counting(METHOD) as counting:
        module = imported().base
        for _ in range(2):
            importlib.reload(module)
            module.Client().call()
        assert counting.calls == 2
    assert not isinstance(vars(module.Client)["call"], wrapt.ObjectProxy)


@pytest.mark.usefixtures("toy")
def test_a_purged_module_is_not_kept_in_memory() -> None:
    """A patch holds no module that the application has removed."""
    with Counting(METHOD):
        kept: list[weakref.ref[Any]] = []
        for _ in range(3):
            purge()
            kept.append(weakref.ref(imported().Client))
        gc.collect()
        assert [each() for each in kept[:-1]] == [None, None]


@pytest.mark.usefixtures("toy")
def test_the_import_system_is_as_before() -> None:
    """The module keeps the loader that was found, specs look as usual, and nothing is left after the last patch."""
    before = list(sys.meta_path)
    with Counting(METHOD), Counting(FUNCTION):
        found = importlib.util.find_spec("toy_sdk.base")
        assert found is not None
        assert isinstance(found.loader, SourceFileLoader)
        assert found.loader.get_source("toy_sdk.base") == TOY
        base: ModuleType = imported().base
        assert type(base.__loader__) is SourceFileLoader
        assert base.__spec__ is not None
        assert type(base.__spec__.loader) is SourceFileLoader
        assert importlib.util.find_spec("toy_sdk.nowhere") is None
    assert sys.meta_path == before


@pytest.mark.usefixtures("toy")
def test_another_tool_s_import_hook_works_before_and_after_ours() -> None:
    """Both see the import in either order, and the method is patched once."""
    for order in ("theirs", "ours"):
        seen: list[object] = []
        if order == "theirs":
            wrapt.register_post_import_hook(seen.append, "toy_sdk.base")
        with Counting(METHOD) as counting:
            if order == "ours":
                wrapt.register_post_import_hook(seen.append, "toy_sdk.base")
            module = imported()
            module.Client().call()
            assert counting.calls == 1
            assert seen == [module.base]
        purge()


@pytest.mark.usefixtures("toy")
def test_an_import_that_fails_is_not_patched_and_can_be_repeated(toy: Path) -> None:
    """The application gets its own exception."""
    (toy / "toy_sdk" / "base.py").write_text("raise ImportError('a part is missing')", encoding="utf-8")
    with Counting(METHOD) as counting:
        with pytest.raises(ImportError, match="a part is missing"):
            imported()
        (toy / "toy_sdk" / "base.py").write_text(TOY + "# repaired\n", encoding="utf-8")
        imported().Client().call()
        assert counting.calls == 1


def test_a_module_in_a_zip_archive_is_patched(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All modules of an archive share one loader, which is left as it is."""
    with zipfile.ZipFile(toy / "toy.zip", "w") as archive:
        archive.writestr("zipped_sdk.py", TOY)
    monkeypatch.syspath_prepend(str(toy / "toy.zip"))
    with Counting(Target(module="zipped_sdk", owner="Client", method="call")) as counting:
        module = importlib.import_module("zipped_sdk")
        assert type(module.__loader__).__name__ == "zipimporter"
        module.Client().call()
        assert counting.calls == 1
    del sys.modules["zipped_sdk"]


def test_unwatch_without_watch_does_nothing() -> None:
    """`uninstrument` may come twice."""
    before = list(sys.meta_path)
    import_hook.unwatch("toy_sdk.base", print)
    assert sys.meta_path == before


# --- The SDKs themselves, each in a process of its own ---

PURGED = """
import logging, sys
import httpx2, otel_agentcost
from otel_agentcost import BudgetExceeded, Settings
from tests.support.replies import chat
logging.disable()

def purge():
    for name in list(sys.modules):
        if f"{name}.".startswith(("openai.", "anthropic.", "google.genai.")):
            del sys.modules[name]

def calls():
    import openai
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=chat())))
    client = openai.OpenAI(base_url="http://local/v1", api_key="none", max_retries=0, http_client=http)
    made = 0
    for _ in range(3):
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
            made += 1
        except BudgetExceeded:
            pass
    return made
"""


def test_an_sdk_that_is_purged_and_imported_again_does_not_pass_a_budget() -> None:
    """Two of three calls are made, each is counted once, and `uninstrument` takes the last patch back."""
    script = f"""{PURGED}
import openai
otel_agentcost.instrument(settings=Settings(budgets="process:calls=2"))
purge()
import openai
purge()
made = calls()
otel_agentcost.uninstrument()
print(made, calls())
"""
    assert python(script).split() == ["2", "3"]


@pytest.mark.parametrize(
    ("module", "owner"),
    [("anthropic._base_client", "SyncAPIClient"), ("google.genai._api_client", "BaseApiClient")],
)
def test_the_other_sdks_that_are_purged_and_imported_again_do_not_go_unpatched(module: str, owner: str) -> None:
    """Their seam is patched after each import, and as it was after `uninstrument`."""
    script = f"""{PURGED}
from importlib import import_module
import {module}
otel_agentcost.instrument()
purge()
seam = import_module({module!r}).{owner}
patched = hasattr(seam.request, "__wrapped__")
otel_agentcost.uninstrument()
print(patched, hasattr(seam.request, "__wrapped__"))
"""
    assert python(script).split() == ["True", "False"]


def test_every_target_of_an_sdk_is_watched() -> None:
    """Each module that is patched is patched after each import: none uses a hook that acts once."""
    modules = {patchable.target.module for sdk in sdks.discover() for patchable in sdk.patches}
    script = f"""
import otel_agentcost
from otel_agentcost.integrations import import_hook
otel_agentcost.instrument()
assert {modules!r} <= set(import_hook._hooks), {modules!r} - set(import_hook._hooks)
otel_agentcost.uninstrument()
print(len(import_hook._hooks))
"""
    assert python(script).strip() == "0"
