"""The house rules that a linter does not know: who may import what, how long things may get, what must have words.

Each rule reads the sources and names every place that breaks it. A rule is changed here, with its reason, or kept.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from otel_agentcost import cli
from otel_agentcost.integrations import sdks

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "otel_agentcost"
SOURCES = sorted(PACKAGE.rglob("*.py"))
GRAFANA = sorted((ROOT / "grafana").rglob("*.py"))
TESTS = sorted(file for folder in ("tests", "tools", "benchmarks") for file in (ROOT / folder).rglob("*.py"))

GROUND = ["errors", "diagnostics", "_version"]
"""Standard library only: open to every room but the core, which stands on nothing."""

_LOW = ["core", "settings", "pricebook", "wire", "telemetry"]

MAY_IMPORT: dict[str, list[str]] = {
    "core": [],
    "errors": [],
    "diagnostics": [],
    "_version": [],
    "plugins": [*GROUND],
    "settings": [*GROUND, "core", "plugins"],
    "pricebook": [*GROUND, "core"],
    "wire": [*GROUND, "core", "plugins"],
    "telemetry": [*GROUND, "core"],
    "store": [*GROUND, "core", "telemetry"],
    "insight": [*GROUND, "core", "pricebook", "telemetry", "store", "savings"],
    "savings": [*GROUND, "core", "pricebook", "wire", "telemetry", "plugins", "guard"],
    "guard": [*GROUND, *_LOW, "plugins"],
    "calls": [*GROUND, *_LOW, "guard"],
    "integrations": [*GROUND, *_LOW, "guard", "calls", "plugins"],
    "collector": [*GROUND, "core", "pricebook", "telemetry"],
    "runtime": [*GROUND, *_LOW, "store", "savings", "guard", "calls", "integrations"],
    "instrumentor": [*GROUND, "settings", "runtime"],
    "asking": [*GROUND, "core", "settings", "telemetry", "store", "guard", "calls", "runtime"],
    "__init__": [*GROUND, "asking", "settings", "telemetry", "calls", "runtime", "instrumentor"],
    "testing": [*GROUND, *_LOW, "guard", "calls", "runtime", "__init__"],
    "cli": [*GROUND, *_LOW, "store", "insight", "savings", "guard", "integrations", "collector", "testing", "__init__"],
}
"""Which rooms (a room is a folder or a module in the root) a room may import, besides itself: imports point down."""

OUTSIDE: dict[str, set[str]] = {
    "telemetry": {"opentelemetry"},
    "store": {"opentelemetry"},  # the type of a span
    "savings": {"opentelemetry"},  # the type of a span
    "calls": {"opentelemetry"},  # the context: which span is current, and what suppresses instrumentation
    "integrations": {"opentelemetry", "wrapt"},
    "runtime": {"opentelemetry"},
    "instrumentor": {"opentelemetry"},
    "asking": {"opentelemetry"},  # which span is current
    "testing": {"opentelemetry"},  # an exporter that keeps spans in memory
    "cli": {"opentelemetry", "rich"},  # the demo is an application; only its command imports it
}
"""Packages of others that a room may import where a module begins. Everywhere else: the standard library."""

LATE: dict[str, set[str]] = {
    "settings": {"yaml"},
    "store": {"zstandard"},
    "savings": {"redis", "cryptography"},  # a shared store, and encryption at rest
    "pricebook": {"yaml", "genai_prices"},
    "guard": {"opentelemetry", "redis"},  # a shared ledger, and what suppresses the instrumentation of its store
    "wire": {"tiktoken", "splintr"},
    "calls": {"rapidfuzz"},
    "testing": {"anthropic", "google", "httpx", "openai"},
    "cli": {"openai", "anthropic", "google", "rich", "opentelemetry"},
}
"""Packages of others that a room may import inside a function: extras, and packages that cost start-up time."""

READS_ENVIRONMENT = {
    "otel_agentcost/cli/run.py": "the environment of the program that it starts",
    "otel_agentcost/cli/reconcile.py": "the key of an administrator, which no setting may hold",
    "otel_agentcost/cli/_data_folder.py": "where the system wants data of the user to be",
    "otel_agentcost/settings/load.py": "the one reader of settings",
    "otel_agentcost/cli/_self_check.py": "the environment of the process that it starts",
    "otel_agentcost/cli/doctor.py": "shows what OpenTelemetry's own variables say",
    "otel_agentcost/cli/demo/app.py": "an application: it looks for API keys when it is told to use real providers",
    "otel_agentcost/integrations/threads.py": "whether the user disabled the threading instrumentation",
    "otel_agentcost/wire/tokenizers.py": "where tiktoken keeps the vocabularies that it has downloaded",
}

LONGER_FUNCTIONS: dict[str, str] = {}
"""Functions that may have more than 50 lines, as `file:name`, each with its reason."""

LONGER_MODULES: dict[str, str] = {
    "otel_agentcost/calls/admission.py": "the gate and the admission that it returns are one step of a call",
    "otel_agentcost/calls/tool_call.py": "one tool call, from its start to its end",
    "otel_agentcost/calls/pipeline.py": "the life of a call, read from top to bottom",
    "otel_agentcost/cli/doctor.py": "one section of the report after the other",
    "otel_agentcost/guard/guard.py": "each decision, and the verbs that settle it, over one lock",
    "otel_agentcost/runtime.py": "creates the objects of one instrument(), and removes them again",
    "otel_agentcost/settings/parsers.py": "one parser for each kind of value",
    "otel_agentcost/settings/table.py": "one row for each setting",
    "otel_agentcost/wire/anthropic_messages/__init__.py": "a format's request, response and stream belong together",
    "tests/collector/test_parity.py": "one real Collector, started once, for all comparisons",
}
"""Modules that may have more than 400 lines, each with its reason."""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(node: ast.AST, *, late: bool = False) -> Iterator[tuple[str, bool]]:
    """Every module that is imported below `node`, with whether that happens inside a function.

    `TYPE_CHECKING` blocks count: a circle of types is a circle. `from a import b` is `a.b` if that is a module.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports name the whole path"
            whole = child.module or ""
            for alias in child.names:
                full = f"{whole}.{alias.name}"
                yield (full if full in MODULES else whole), late
        else:
            yield from imports(child, late=late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


MODULES = {module_of(file) for file in SOURCES}


def room_imported(module: str) -> str | None:
    """The room that an import of `module` needs; None for a module of others."""
    names = module.split(".")
    if names[0] != "otel_agentcost":
        return None
    return names[1] if len(names) > 1 else "__init__"


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Module, total: int) -> int:
    """The lines of a function or module without docstrings: to explain a thing is no reason to cut it in two."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    documented = [each for each in ast.walk(node) if isinstance(each, kinds)]
    texts = [each.body[0] for each in documented if ast.get_docstring(each)]
    return total - sum((text.end_lineno or text.lineno) - text.lineno + 1 for text in texts)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_room_has_its_rule() -> None:
    """A new folder or module in the root says here what it may import."""
    assert sorted({room_of(file) for file in SOURCES}) == sorted(MAY_IMPORT)


def test_the_root_has_few_rooms() -> None:
    """At most fourteen folders and eight modules, so that a newcomer knows in a minute which holds what."""
    folders = {room_of(file) for file in SOURCES if file.parent != PACKAGE}
    modules = {room_of(file) for file in SOURCES if file.parent == PACKAGE}
    assert len(folders) <= 14, sorted(folders)
    assert len(modules) <= 8, sorted(modules)


def test_imports_between_rooms_point_one_way() -> None:
    """No room imports one that stands above it: not late, and not for types alone."""
    wrong = [
        f"{name_of(file)} imports {module}"
        for file in SOURCES
        for module, _ in imports(parse(file))
        if (room := room_imported(module)) is not None and room not in (room_of(file), *MAY_IMPORT[room_of(file)])
    ]
    assert wrong == []


def test_no_row_of_the_table_is_a_circle() -> None:
    """The table itself points one way."""

    def below(room: str, seen: frozenset[str] = frozenset()) -> bool:
        return room in seen or any(below(each, seen | {room}) for each in MAY_IMPORT[room])

    assert [room for room in MAY_IMPORT if below(room)] == []


def test_no_module_imports_itself_by_a_detour() -> None:
    """No circle among modules, inside a room either: imports inside functions and for types count."""
    graph = {module_of(file): {name for name, _ in imports(parse(file)) if name in MODULES} for file in SOURCES}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for name in graph[ahead.pop()] - seen - {"otel_agentcost"}:
                seen.add(name)
                ahead.append(name)
        return seen

    assert [name for name in graph if name in reached(name)] == []


def test_nothing_of_others_is_imported_where_it_does_not_belong() -> None:
    """SDKs, tokenizers, YAML and the price library are never loaded by importing this package."""
    wrong = [
        f"{name_of(file)} imports {module}{' in a function' if late else ''}"
        for file in SOURCES
        for module, late in imports(parse(file))
        if (top := module.split(".")[0]) not in sys.stdlib_module_names | {"otel_agentcost"}
        and top not in OUTSIDE.get(room_of(file), set())
        and not (late and top in LATE.get(room_of(file), set()))
    ]
    assert wrong == []


def test_the_core_does_no_input_or_output() -> None:
    """The core is a function of its arguments: no clock, no file, no environment, no threads, no logging."""
    barred = {"os", "io", "time", "logging", "pathlib", "random", "socket", "subprocess", "sys", "threading", "asyncio"}
    wrong = [
        f"{name_of(file)} imports {module}"
        for file in SOURCES
        for module, _ in imports(parse(file))
        if room_of(file) == "core" and module.split(".")[0] in barred
    ]
    assert wrong == []


def test_the_environment_is_read_in_one_place() -> None:
    """Settings come from `settings/load.py`; what else looks at the environment has its reason."""
    readers = {
        name_of(file)
        for file in SOURCES
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }
    assert readers <= READS_ENVIRONMENT.keys()


def test_functions_are_short() -> None:
    """At most 50 lines each without its docstring, so that one fits on a screen."""
    long = {
        f"{name_of(file)}:{node.name}"
        for file in [*SOURCES, *GRAFANA, *TESTS]
        for node in functions(parse(file))
        if lines_of(node, (node.end_lineno or node.lineno) - node.lineno + 1) > 50
    }
    assert long == LONGER_FUNCTIONS.keys()


def test_modules_are_short() -> None:
    """At most 400 lines each without docstrings."""
    long = {
        name_of(file)
        for file in [*SOURCES, *GRAFANA, *TESTS]
        if lines_of(parse(file), len(file.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == LONGER_MODULES.keys()


def test_every_module_says_what_it_is() -> None:
    """Each module that holds anything opens with a docstring."""
    files = [file for file in [*SOURCES, *GRAFANA, *TESTS] if file.stat().st_size]
    assert [name_of(file) for file in files if not ast.get_docstring(parse(file))] == []


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    """No docstring of the package begins with a relative clause ("What ...", "Whether ..."): its subject is hidden."""
    clause = re.compile(r"(What|Whether|Who|Whom|Whose|Where|Which|How|When|Why)\b")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    wrong = [
        f"{name_of(file)}: {text.splitlines()[0]}"
        for file in SOURCES
        for node in ast.walk(parse(file))
        if isinstance(node, kinds) and clause.match(text := ast.get_docstring(node) or "")
    ]
    assert wrong == []


def test_every_test_says_what_must_hold() -> None:
    """Each test has a docstring: one sentence of behaviour."""
    silent = [
        f"{name_of(file)}:{node.name}"
        for file in TESTS
        for node in functions(parse(file))
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_public_names_are_sorted() -> None:
    """Every `__all__` is in the order of the linter's own sort: constants, classes, functions."""
    unsorted: list[str] = []
    for file in SOURCES:
        for node in parse(file).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names: list[str] = ast.literal_eval(node.value)
                if names != sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name)):
                    unsorted.append(name_of(file))
    assert unsorted == []


def test_nothing_is_left_for_later() -> None:
    """What is not done is an issue, not a note in the code."""
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    files = [
        *SOURCES,
        *GRAFANA,
        *TESTS,
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/**/*.*"),
        ROOT / "Makefile",
        ROOT / ".ci/run",
    ]
    assert [name_of(file) for file in files if any(word in file.read_text(encoding="utf-8") for word in words)] == []


def test_sdks_are_found_by_listing_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module of `sdks/` is an SDK of that name, and one more file is one more SDK: nothing central is edited."""
    files = {file.stem for file in (PACKAGE / "integrations" / "sdks").glob("*.py") if not file.stem.startswith("_")}
    assert {sdk.name for sdk in sdks.discover()} == files
    toy = tmp_path / "toy.py"
    toy.write_text(
        "from otel_agentcost.integrations.sdks import Sdk\nSDK = Sdk(name='toy', distribution='toy', patches=())\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sdks, "__path__", [*sdks.__path__, str(tmp_path)])
    assert {sdk.name for sdk in sdks.discover()} == files | {"toy"}
    del sys.modules["otel_agentcost.integrations.sdks.toy"]


def test_every_path_of_an_sdk_has_its_wire_format() -> None:
    """The wire formats that SDK modules name exist, each with its reader."""
    for file in (PACKAGE / "integrations" / "sdks").glob("[a-z]*.py"):
        module = import_module(f"otel_agentcost.integrations.sdks.{file.stem}")
        formats: dict[str, str] = getattr(module, "FORMATS", {})  # without paths, its seam names the formats
        for form in set(formats.values()):
            assert hasattr(import_module(f"otel_agentcost.wire.{form}"), "FORMAT"), f"{file.stem}: {form}"


def test_commands_are_found_by_listing_their_folder() -> None:
    """Every module of `cli/` is a subcommand."""
    commands = {module.name for module in iter_modules(cli.__path__) if not module.name.startswith("_")}
    assert {"demo", "doctor", "prices"} <= commands
    for command in commands:
        assert callable(import_module(f"{cli.__name__}.{command}").add_parser)
