"""What is patched, and that nothing is left of it: installing and removing in every order, beside others' wrappers."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import wrapt

# The SDKs are imported here so that their patches go in at once; in the subprocesses below they are not.
from anthropic import Anthropic
from google import genai

import otel_agentcost
from otel_agentcost import diagnostics
from otel_agentcost.integrations import sdks
from otel_agentcost.integrations.patching import Patch, Target
from tests.integrations.sdks.openai_shapes import ASK
from tests.support.call_shapes import instrumented, warnings_of_ours
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.replies import chat_reply

assert Anthropic is not None
assert genai is not None
ROOT = Path(__file__).resolve().parents[3]


PACKAGES = {patchable.target.module.partition(".")[0] for sdk in sdks.discover() for patchable in sdk.patches}
"""The packages that are patched if the application imports them."""


def methods() -> dict[str, Any]:
    """Every attribute of every class that has a target, and of all its subclasses."""
    found: dict[str, Any] = {}
    for sdk in sdks.discover():
        for patchable in sdk.patches:
            owner = getattr(sys.modules.get(patchable.target.module), patchable.target.owner, None)
            for cls in _family(owner) if isinstance(owner, type) else ():
                found.update({f"{cls.__module__}.{cls.__qualname__}.{key}": value for key, value in vars(cls).items()})
    return found


def _family(cls: type) -> Iterator[type]:
    yield cls
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        yield from _family(sub)


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names that stand for other objects than before."""
    ignored = ("__abstractmethods__", "__doc__")
    return [
        name
        for name in before.keys() | after.keys()
        if before.get(name) is not after.get(name) and not name.endswith(ignored)
    ]


def test_uninstrument_restores_the_very_same_functions(telemetry: Telemetry) -> None:
    """After `uninstrument()` every attribute of every patched class is the object that it was."""
    before = methods()
    for _ in range(3):
        with instrumented(telemetry):
            patched = differing(before, methods())
            # Other tests leave subclasses of the clients behind, which are patched too.
            packages = {name.partition(".")[0] for name in patched} - {"tests"}
            assert {"openai", "anthropic", "google"} <= packages <= PACKAGES
        assert differing(before, methods()) == []


def test_instrumenting_twice_is_one_span(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A second `instrument()` changes nothing, and one `uninstrument()` takes it all back."""
    before = methods()
    model_server.replies(chat_reply())
    with instrumented(telemetry):
        once = methods()
        otel_agentcost.instrument(tracer_provider=telemetry.tracer_provider)
        otel_agentcost.AgentCostInstrumentor().instrument(tracer_provider=telemetry.tracer_provider)
        assert differing(once, methods()) == []
        ask(model_server)
    otel_agentcost.uninstrument()
    assert differing(before, methods()) == []
    assert len(telemetry.spans) == 1


def ask(server: ModelServer) -> Any:
    """One call."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        return client.chat.completions.create(**ASK)


class Other:
    """Another instrumentation's wrapper of the same method, which counts its calls."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.calls = 0

    def install(self) -> None:
        self._before = openai.OpenAI.request
        if self._kind == "wrapt":
            wrapt.wrap_function_wrapper("openai._base_client", "SyncAPIClient.request", self._wrapped)
        else:
            self._replace()

    def _wrapped(self, wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        return wrapped(*args, **kwargs)

    def _replace(self) -> None:
        owner: Any = openai._base_client.SyncAPIClient
        original = owner.request

        @functools.wraps(original)
        def request(client: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(client, *args, **kwargs)

        owner.request = request
        self._original = original

    def remove(self) -> None:
        owner: Any = openai._base_client.SyncAPIClient
        if self._kind == "wrapt":
            current = owner.__dict__["request"]
            owner.request = current.__wrapped__
        else:
            owner.request = self._original


ORDERS = [
    "other in, ours in, ours out, other out",
    "ours in, other in, other out, ours out",
    "other in, ours in, other out, ours out",
    "ours in, other in, ours out, other out",
]
# Who replaces a method by a plain function puts back what he found: what came in between is then not ours to undo.
COMBINATIONS = [*(("wrapt", order) for order in ORDERS), *(("plain", order) for order in ORDERS[:2])]


@pytest.mark.parametrize(("kind", "order"), COMBINATIONS)
def test_wrappers_of_others_in_any_order(
    kind: str, order: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Both wrappers work while both are in, each goes without the other, and in the end nothing is left of either."""
    original = openai._base_client.SyncAPIClient.__dict__["request"]
    other = Other(kind)
    steps = {
        "other in": other.install,
        "other out": other.remove,
        "ours in": lambda: otel_agentcost.instrument(
            tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
        ),
        "ours out": otel_agentcost.uninstrument,
    }
    there: set[str] = set()
    try:
        for step in order.split(", "):
            steps[step]()
            (there.add if step.endswith("in") else there.discard)(step.split()[0])
            calls, spans = other.calls, len(telemetry.spans)
            model_server.replies(chat_reply())
            ask(model_server)
            assert other.calls - calls == ("other" in there), step
            assert len(telemetry.spans) - spans == ("ours" in there), step
    finally:
        owner: Any = openai._base_client.SyncAPIClient
        left = owner.__dict__["request"]
        owner.request = original
        otel_agentcost.uninstrument()
    assert left is original


def test_wrapper_that_somebody_kept_passes_through(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A plain wrapper that was put round ours keeps ours alive after `uninstrument()`: it then only passes calls on."""
    owner: Any = openai._base_client.SyncAPIClient
    original = owner.__dict__["request"]
    other = Other("plain")
    model_server.replies(chat_reply(), chat_reply())
    try:
        with instrumented(telemetry):
            other.install()
            ask(model_server)
        ask(model_server)
    finally:
        owner.request = original
    assert other.calls == 2
    assert len(telemetry.spans) == 1


def test_target_that_is_gone_is_one_warning(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK without the method that we patch is left alone, with one warning that names it."""
    owner: Any = openai._base_client.SyncAPIClient
    monkeypatch.setattr(owner, "execute", owner.request, raising=False)
    monkeypatch.delattr(owner, "request")
    with warnings_of_ours() as warned, instrumented(telemetry):
        pass
    assert [text for text in warned if "SyncAPIClient.request does not exist" in text] == warned
    assert len(warned) == 1


# --- Functions of modules ---------------------------------------------------------------------------------------------


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module with a function, one that has imported it by its name, one that calls something else so, one that loads
    when it is first looked at, and one that is none.
    """

    class Late(types.ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"somebody looked at {name}")

    class Lib:
        """As cffi makes them."""

        __slots__ = ()
        __class__: Any = types.ModuleType

    def invoke(value: int) -> int:
        return value

    def another(value: int) -> int:
        return -value

    found: dict[str, Any] = {name: types.ModuleType(name) for name in ("toy", "toy.importer", "toy.namesake")}
    found["toy"].invoke = found["toy.importer"].invoke = invoke
    found["toy.namesake"].invoke = another
    found["toy.late"], found["toy.lib"] = Late("toy.late"), Lib()
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def twice(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Stands for our wrapper of a function."""
    assert instance is None
    return 2 * wrapped(*args, **kwargs)


INVOKE = Target(module="toy", method="invoke")


def test_function_is_patched_wherever_it_was_imported(modules: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In its module and in those that have it by its name, before or since; removing it restores the very function."""
    original = modules["toy"].invoke
    patch = Patch(INVOKE, twice)
    patch.install()
    since: Any = types.ModuleType("toy.since")
    since.invoke = modules["toy"].invoke
    monkeypatch.setitem(sys.modules, "toy.since", since)
    having = [modules["toy"], modules["toy.importer"], since]
    assert [module.invoke(3) for module in having] == [6, 6, 6]
    assert modules["toy.namesake"].invoke(3) == -3
    patch.remove()
    assert [module.invoke for module in having] == [original] * 3


def test_function_is_patched_within_the_wrapper_of_others(modules: dict[str, Any]) -> None:
    """Innermost, as a method is: whoever has wrapped it keeps being called, once, and stays when we go."""
    calls: list[int] = []

    def count(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        calls.append(1)
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper("toy", "invoke", count)
    outermost = modules["toy"].invoke
    patch = Patch(INVOKE, twice)
    patch.install()
    assert modules["toy"].invoke is outermost
    assert (modules["toy"].invoke(3), modules["toy.importer"].invoke(3), len(calls)) == (6, 6, 1)
    patch.remove()
    assert (modules["toy"].invoke(3), modules["toy.importer"].invoke(3), len(calls)) == (3, 3, 2)


def test_function_that_is_gone_is_one_warning(modules: dict[str, Any]) -> None:
    """As for a method, with its name."""
    del modules["toy"].invoke
    diagnostics.forget_causes()
    with warnings_of_ours() as warned:
        Patch(INVOKE, twice).install()
    assert [text for text in warned if "toy.invoke does not exist" in text] == warned
    assert len(warned) == 1


# --- In processes of their own ----------------------------------------------------------------------------------------


def python(script: str, **environment: str) -> str:
    """What a script prints, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_nothing_is_imported_by_us() -> None:
    """`instrument()` loads no SDK, no tokenizer, no price library and no extra."""
    heavy = ["openai", "anthropic", "google.genai", "genai_prices", "tiktoken", "splintr", "redis", "yaml", "rich"]
    script = f"import sys, otel_agentcost; otel_agentcost.instrument(); print([m for m in {heavy} if m in sys.modules])"
    assert python(script).strip() == "[]"


CALL = """
import os
{before}
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import otel_agentcost
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
otel_agentcost.instrument(tracer_provider=provider)
{after}
from openai import OpenAI
from anthropic import Anthropic
from google import genai
for call in (
    lambda: OpenAI(base_url=os.environ["AT"] + "/v1", api_key="x", max_retries=0).chat.completions.create(
        model="gpt-4o-mini", messages=[]),
    lambda: Anthropic(base_url=os.environ["AT"], api_key="x", max_retries=0).messages.create(
        model="claude-opus-4-6", max_tokens=1, messages=[]),
    lambda: genai.Client(api_key="x", http_options={{"base_url": os.environ["AT"]}}).models.generate_content(
        model="gemini-2.5-flash", contents="x"),
):
    try:
        call()
    except Exception as error:
        print(type(error).__name__)
print(sorted(span.name for span in exporter.get_finished_spans()))
"""
IMPORTS = "import openai, anthropic, google.genai"
THREE = "['chat claude-opus-4-6', 'chat gpt-4o-mini', 'generate_content gemini-2.5-flash']"


@pytest.mark.parametrize(
    ("before", "after"),
    [(IMPORTS, ""), ("", IMPORTS), ("", ""), ("import openai", "import anthropic")],
    ids=["all before", "all after", "all late", "one each"],
)
def test_sdk_imported_before_or_after(before: str, after: str, model_server: ModelServer) -> None:
    """SDKs that were imported before `instrument()`, after it, or by the code that calls them are all patched."""
    said = python(CALL.format(before=before, after=after), AT=model_server.url)
    assert THREE in said.splitlines()


UNTOUCHED = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
import openai, wrapt
import otel_agentcost
otel_agentcost.instrument()
import anthropic._base_client, google.genai._api_client
classes = (openai._base_client.SyncAPIClient, anthropic._base_client.AsyncAPIClient,
           google.genai._api_client.BaseApiClient)
patched = [cls for cls in classes if any(isinstance(method, wrapt.FunctionWrapper) for method in vars(cls).values())]
print("runs on,", len(patched), "patched")
"""


def test_disabled_leaves_everything_untouched() -> None:
    """`OTEL_AGENTCOST_ENABLED=false` patches nothing and says nothing; without it, the same look sees all patches."""
    enabled = """
import os
del os.environ["OTEL_AGENTCOST_ENABLED"]
otel_agentcost.instrument()
patched = [cls for cls in classes if any(isinstance(method, wrapt.FunctionWrapper) for method in vars(cls).values())]
print(len(patched), "once enabled")
"""
    said = python(UNTOUCHED + enabled, OTEL_AGENTCOST_ENABLED="false")
    assert said.splitlines() == ["runs on, 0 patched", "3 once enabled"]


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_AGENTCOST_ENABLED": "perhaps"},
        {"OTEL_AGENTCOST_TOOL_PRICES": "search=cheap"},
        {"OTEL_AGENTCOST_PRICES": "/no/such/file.json"},
        {"OTEL_AGENTCOST_CONFIG": "/no/such/file.json"},
        {"OTEL_AGENTCOST_PRICES": str(ROOT / "Makefile")},
    ],
    ids=["no boolean", "no price", "no file", "no settings file", "no price file"],
)
def test_setting_that_cannot_be_understood_is_one_line(settings: dict[str, str]) -> None:
    """A bad setting turns off only what it concerns: calls are measured, and one line in the log quotes it."""
    lines = python(UNTOUCHED, **settings).strip().splitlines()
    assert lines[0] == "runs on, 3 patched"
    assert len(lines) == 2
    assert lines[1].startswith(("ERROR otel_agentcost ", "WARNING otel_agentcost "))
    value = next(iter(settings.values())).rpartition("/")[2]
    assert value in lines[1]
