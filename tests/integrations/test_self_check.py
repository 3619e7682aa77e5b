"""An SDK of another shape: the application runs as before, nothing is half patched, and one log line says it all."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import openai
import pytest
import wrapt

from otel_agentcost import diagnostics
from otel_agentcost.integrations import inventory, sdks
from otel_agentcost.integrations.patching import Patch, Target
from otel_agentcost.integrations.self_check import SelfCheck
from tests.support.call_shapes import warnings_of_ours

ROOT = Path(__file__).resolve().parents[2]

TOY = """
class Client:
    def send(self, kind, options, *, stream=False):
        return "answer"

    def finish(self):
        return "finished"
"""
SEND = Target(module="shape_sdk.base", owner="Client", method="send", reads=("", "options"), asynchronous=False)


@pytest.fixture
def shaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes a package whose module has more code after the usual one."""
    package = tmp_path / "shape_sdk"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")

    def write(code: str) -> None:
        (package / "base.py").write_text(f"{TOY}\n{code}\n", encoding="utf-8")
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    diagnostics.forget_causes()
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "shape_sdk"]:
        del sys.modules[name]


@contextmanager
def installed(*targets: Target) -> Generator[list[str]]:
    """Patches, and collects the names of the targets that are called."""
    called: list[str] = []

    def patch(target: Target) -> Patch:
        def wrapper(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
            called.append(str(target.method))
            return wrapped(*args, **kwargs)

        return Patch(target, wrapper, check)

    check = SelfCheck(targets, "shape-sdk", "1.0", "its model calls")
    patches = [patch(target) for target in targets]
    for each in patches:
        each.install()
    try:
        yield called
    finally:
        for each in patches:
            each.remove()


CHANGED: dict[str, tuple[str, str]] = {
    "renamed": ("Client.transmit = Client.send; del Client.send", "Client.send does not exist"),
    "without its class": ("del Client", "shape_sdk.base.Client does not exist"),
    "a parameter less": ("Client.send = lambda self, kind, spec, *, stream=False: 'answer'", "no parameter 'options'"),
    "in another order": (
        "Client.send = lambda self, options, kind, *, stream=False: 'answer'",
        "no parameter 'options'",
    ),
    "a property": ("Client.send = property(lambda self: lambda kind, options: 'answer')", "but a property"),
    "a C function": ("Client.send = len", "but a builtin_function_or_method"),
    "a static method": ("Client.send = staticmethod(lambda kind, options: 'answer')", "is a staticmethod now"),
    "a class": ("class _Send:\n    pass\nClient.send = _Send", "but a type"),
    "asynchronous": ("async def send(self, kind, options): ...\nClient.send = send", "is asynchronous now"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_method_is_not_patched_and_not_passed_over(shaped: Callable[[str], None], change: str) -> None:
    """The class is as the package made it, and the line has the package, the fault, the loss and the remedy."""
    code, told = CHANGED[change]
    shaped(code)
    with installed(SEND) as called, warnings_of_ours() as said:
        module: Any = importlib.import_module("shape_sdk.base")
        if (client := getattr(module, "Client", None)) is not None:
            assert not isinstance(vars(client).get("send"), wrapt.ObjectProxy | wrapt.FunctionWrapper)
    assert called == []
    (line,) = said
    assert f"{told}" in line
    assert line.startswith(f"otel-agentcost: shape-sdk ({module.__file__}) is not as otel-agentcost expects it: ")
    assert "its model calls through this are not measured here: no span, no cost, no budget. Install a tested" in line


WRAPPED: dict[str, str] = {
    "wrapt": """
import wrapt
Client.send = wrapt.FunctionWrapper(Client.send, lambda wrapped, _, args, more: wrapped(*args, **more))
""",
    "functools.wraps": """
import functools
_send = Client.send
@functools.wraps(_send)
def _around(*args, **more):
    return _send(*args, **more)
Client.send = _around
""",
    "a bare function": "_send = Client.send\nClient.send = lambda *args, **more: _send(*args, **more)",
    "partialmethod": "import functools\nClient.send = functools.partialmethod(Client.send)",
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_a_method_that_others_have_wrapped_is_patched(shaped: Callable[[str], None], wrapper: str) -> None:
    """Wrappers of tracers take any arguments: they are no reason to leave a call unseen."""
    shaped(WRAPPED[wrapper])
    with installed(SEND) as called, warnings_of_ours() as said:
        module: Any = importlib.import_module("shape_sdk.base")
        assert module.Client().send("text", {}) == "answer"
    assert (called, said) == (["send"], [])


def test_a_test_double_is_left_alone(shaped: Callable[[str], None]) -> None:
    """A test that has replaced the method gets its own object, called as it expects."""
    shaped("")
    module: Any = importlib.import_module("shape_sdk.base")
    with mock.patch.object(module.Client, "send") as double, installed(SEND) as called:
        module.Client().send("text")
        assert module.Client.send is double
        double.assert_called_once_with("text")
    assert called == []


def test_targets_that_belong_together_are_not_half_patched(shaped: Callable[[str], None]) -> None:
    """One alone would count wrongly, so a fault of the other leaves both as they are."""
    shaped("del Client.finish")
    begin = Target(module="shape_sdk.base", owner="Client", method="send", together="call")
    end = Target(module="shape_sdk.base", owner="Client", method="finish", together="call")
    with installed(begin, end) as called, warnings_of_ours() as said:
        module: Any = importlib.import_module("shape_sdk.base")
        assert module.Client().send("text", {}) == "answer"
    assert called == []
    assert len(said) == 1


def test_all_faults_of_a_package_are_one_line(shaped: Callable[[str], None]) -> None:
    """Two methods that are gone are one line, however many patches find them."""
    shaped("del Client.send, Client.finish")
    finish = Target(module="shape_sdk.base", owner="Client", method="finish")
    with installed(SEND, finish), warnings_of_ours() as said:
        importlib.import_module("shape_sdk.base")
    (line,) = said
    assert "Client.send does not exist; shape_sdk.base.Client.finish does not exist" in line


def test_a_module_that_was_moved_is_not_passed_over(shaped: Callable[[str], None]) -> None:
    """The package is imported, and the module in it does not exist; an optional one may be absent."""
    shaped("")
    gone = Target(module="shape_sdk.other", owner="Client", method="send")
    with warnings_of_ours() as said, installed(gone), installed(SEND):
        importlib.import_module("shape_sdk")
        assert "shape_sdk.base" not in sys.modules
    (line,) = said
    assert "shape_sdk.other does not exist" in line
    diagnostics.forget_causes()
    optional = Target(module="shape_sdk.other", owner="Client", method="send", optional=True)
    with warnings_of_ours() as said, installed(optional):
        pass
    assert said == []


def test_the_check_takes_less_than_a_millisecond() -> None:
    """All targets of openai, without the log line."""
    (sdk,) = (sdk for sdk in sdks.discover() if sdk.name == "openai")
    module = importlib.import_module("openai._base_client")
    times: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        faults = [patch.checked.fault(module) for patch in sdk.patches]
        times.append(time.perf_counter() - began)
        assert not any(faults)
    assert min(times) < 0.001


def test_what_is_installed_has_no_fault() -> None:
    """A seam that works must not be switched off by its own check."""
    for package in inventory.packages():
        for target in package.targets:
            if target.module.startswith(("openai.", "anthropic.", "google.genai.")):
                fault = target.fault(importlib.import_module(target.module))
                assert fault is None or not fault.counts, fault


# --- The real SDK, changed ---

CALL = """
import json, logging, sys
logging.basicConfig(stream=sys.stderr, format="%(name)s %(message)s")
import otel_agentcost
from otel_agentcost import Settings
from tests.support.in_memory import Telemetry
telemetry = Telemetry()
otel_agentcost.instrument(tracer_provider=telemetry.tracer_provider, settings=Settings(budgets="process:calls=9"))
import openai
from tests.support.openai_call import ask
answer = ask().choices[0].message.content
print(json.dumps([answer, len(telemetry.spans), openai.__file__]))
"""

OPENAI: dict[str, str] = {
    "renamed": """
for _class in (SyncAPIClient, AsyncAPIClient):
    _class.send = _class.request
    del _class.request
    for _name in ("get", "post", "patch", "put", "delete"):
        setattr(_class, _name, _renamed(getattr(_class, _name)))
""",
    "a parameter renamed": """
def _request(self, cast_to, spec, *, stream=False, stream_cls=None, _send=SyncAPIClient.request):
    return _send(self, cast_to, spec, stream=stream, stream_cls=stream_cls)
SyncAPIClient.request = _request
""",
    "a property": """
SyncAPIClient.request = property(lambda self, _send=SyncAPIClient.request: functools.partial(_send, self))
""",
}
RENAMED = """
import functools, types
def _renamed(method):
    code = method.__code__
    names = tuple("send" if name == "request" else name for name in code.co_names)
    return types.FunctionType(code.replace(co_names=names), method.__globals__, method.__name__,
                              method.__defaults__, method.__closure__)
def _keywords(method, made):
    made.__kwdefaults__ = method.__kwdefaults__
    return made
"""


def copy_of_openai(folder: Path, code: str) -> None:
    """The installed package in `folder`, with more code at the end of the module that is patched."""
    source = Path(openai.__file__).parent
    package = folder / "openai"
    package.mkdir()
    for each in source.iterdir():
        if each.name not in ("_base_client.py", "__pycache__"):
            (package / each.name).symlink_to(each)
    text = (source / "_base_client.py").read_text(encoding="utf-8")
    more = RENAMED.replace("return types.FunctionType(", "return _keywords(method, types.FunctionType(").replace(
        "method.__closure__)", "method.__closure__))"
    )
    (package / "_base_client.py").write_text(f"{text}\n{more}\n{code}\n", encoding="utf-8")


def called(folder: Path) -> tuple[list[Any], list[str]]:
    """One call in a process of its own that finds the packages in `folder` first: its result, and our log lines."""
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("otel_agentcost ")]
    return json.loads(done.stdout.splitlines()[-1]), lines


@pytest.mark.parametrize("change", OPENAI)
def test_a_changed_openai_does_not_break_the_application(tmp_path: Path, change: str) -> None:
    """The call has its answer; it has no span, and the log names the release, the file and the tested releases."""
    copy_of_openai(tmp_path, OPENAI[change])
    (answer, spans, file), lines = called(tmp_path)
    assert answer
    assert Path(file).parent == tmp_path / "openai"
    assert spans == 0
    (line,) = (line for line in lines if "is not as otel-agentcost expects" in line)
    assert f"openai {openai.__version__} ({tmp_path / 'openai' / '_base_client.py'})" in line
    assert "openai._base_client.SyncAPIClient.request" in line
    assert "Install a tested release (1.66 to " in line


def test_an_unchanged_copy_of_openai_is_measured(tmp_path: Path) -> None:
    """A second copy of a package on the path is patched as the first one is: the counter-proof."""
    copy_of_openai(tmp_path, "")
    (answer, spans, file), lines = called(tmp_path)
    assert answer
    assert Path(file).parent == tmp_path / "openai"
    assert (spans, [line for line in lines if "expects" in line]) == (1, [])
    shutil.rmtree(tmp_path / "openai")


def test_partial_objects_of_a_module_are_patched(shaped: Callable[[str], None]) -> None:
    """A function of a module may be a partial object of another one."""
    shaped("import functools\ndef _ask(model, text):\n    return text\nask = functools.partial(_ask, 'model')")
    with installed(Target(module="shape_sdk.base", method="ask", reads=("text",))) as asked, warnings_of_ours() as said:
        module: Any = importlib.import_module("shape_sdk.base")
        assert module.ask("Hi") == "Hi"
        assert isinstance(module.ask.__wrapped__, functools.partial)
    assert (asked, said) == (["ask"], [])


def test_releases_without_such_calls_are_no_reason_for_a_warning(shaped: Callable[[str], None]) -> None:
    """openai before 3.31 runs no tools itself: nothing is missing there. A newer release is another matter."""
    shaped("del Client.send")
    module: Any = importlib.import_module("shape_sdk.base")
    with warnings_of_ours() as said:
        older = SelfCheck((SEND,), "pytest", "999.0", since_oldest=True)
        assert not older.passed(SEND, module)
        assert said == []
        newer = SelfCheck((SEND,), "pytest", "1.0", since_oldest=True)
        assert not newer.passed(SEND, module)
    (line,) = said
    assert f"pytest {pytest.__version__} ({module.__file__})" in line
