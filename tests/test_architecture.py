"""The house rules that a linter does not know: who may import what, how long things may get, what must have words.

Each rule reads the sources and names every place that breaks it. A rule is changed here, with its reason, or kept.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from otel_agentcost import cli
from otel_agentcost.integrations import sdks

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "otel_agentcost"
SOURCES = sorted(PACKAGE.rglob("*.py"))
GRAFANA = sorted((ROOT / "grafana").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FREE = ["version", "names", "spellings", "errors", "border"]
"""Standard library and constants only: open to all but the core."""

MAY_IMPORT: dict[str, list[str]] = {
    "version": [],
    "names": [],
    "spellings": ["names"],
    "environment_variables": [],
    "errors": [],
    "border": [],
    "core": ["core"],
    "tokens": [*FREE],
    "understanding": [*FREE, "core"],
    "rows": [],
    "layers": [*FREE, "understanding"],
    "unheeded": [*FREE, "core", "layers", "understanding"],
    "settings": [*FREE, "core", "layers", "rows", "understanding", "unheeded"],
    "pricebook": [*FREE, "core", "pricebook"],
    "ledger": [*FREE, "ledger"],
    "wire": [*FREE, "core", "tokens", "wire"],
    "estimate": [*FREE, "core", "wire"],
    "guard": [*FREE, "core", "estimate", "ledger", "guard"],
    "patching": [*FREE],
    "streams": [*FREE],
    "metering": [*FREE, "tokens", "wire"],
    "telemetry": [*FREE, "core", "telemetry"],
    "capture": [*FREE, "core", "understanding", "wire", "telemetry"],
    "charging": [*FREE, "core", "wire", "pricebook", "streams"],
    "dropped": [*FREE],
    "inflight": [*FREE, "core", "wire", "charging", "streams", "dropped", "telemetry"],
    "facts": [*FREE, "core", "charging", "pricebook"],
    "watching": [*FREE, "core", "facts", "looping", "telemetry", "wire"],
    "breaking": [*FREE, "core", "guard", "telemetry"],
    "admission": [
        *FREE, "breaking", "facts", "core", "charging", "guard", "ledger", "metering", "pricebook", "telemetry", "wire",
    ],
    "lifecycle": [*FREE, "core", "wire", "charging", "inflight", "dropped", "pricebook", "telemetry"],
    "foreign": [*FREE, "core", "dropped", "guard", "telemetry"],
    "foreign_tools": [*FREE, "core", "telemetry", "toolcalls"],
    "processor": [*FREE, "core", "dropped", "facts", "telemetry"],
    "in_force": [*FREE],
    "generators": [],
    "runs": [*FREE, "facts", "core", "in_force", "admission", "generators", "telemetry"],
    "budgeting": [*FREE, "guard", "ledger", "pricebook", "settings"],
    "similarity": [*FREE],
    "looping": [*FREE, "core", "similarity", "wire"],
    "sdks": [*FREE, "core", "wire", "charging", "inflight", "streams", "patching", "sdks"],
    "plain": [],
    "toolcalls": [*FREE, "core", "in_force", "plain", "telemetry", "understanding"],
    "handwritten": [*FREE, "core", "generators", "toolcalls"],
    "tools": [*FREE, "patching", "telemetry", "toolcalls", "tools"],
    "runtime": [
        *FREE, "core", "settings", "pricebook", "telemetry", "lifecycle", "processor", "patching", "sdks", "in_force",
        "capture", "admission", "breaking", "budgeting", "facts", "guard", "foreign", "foreign_tools", "tools",
        "understanding", "watching",
    ],
    "instrumentor": [*FREE, "settings", "runtime"],
    "__init__": [*FREE, "core", "settings", "telemetry", "handwritten", "runs", "runtime", "instrumentor"],
    "collector": [*FREE, "core", "pricebook", "collector"],
    "writing": [*FREE],
    "cli": [
        *FREE, "collector", "core", "settings", "pricebook", "ledger", "patching", "sdks", "tools", "demo", "writing",
        "cli",
    ],
    "demo": [*FREE, "__init__", "core", "tokens", "demo"],
}  # fmt: skip
"""Which parts of the package (a part is a folder or module of it) a part may import: imports point one way."""

OUTSIDE: dict[str, set[str]] = {
    "telemetry": {"opentelemetry"},
    "generators": {"opentelemetry"},
    "processor": {"opentelemetry"},
    "foreign": {"opentelemetry"},  # spans of others
    "foreign_tools": {"opentelemetry"},  # and these
    "runtime": {"opentelemetry"},
    "instrumentor": {"opentelemetry"},
    "inflight": {"opentelemetry"},  # the context: which span is current, and what suppresses instrumentation
    "capture": {"opentelemetry"},  # events are log records
    "breaking": {"opentelemetry"},  # a span's type
    "facts": {"opentelemetry"},  # the id of a trace
    "admission": {"opentelemetry"},  # the context: whose call it is
    "runs": {"opentelemetry"},  # a run is a span
    "toolcalls": {"opentelemetry"},  # a hand-written tool is a span of its own
    "patching": {"wrapt"},
    "demo": {"opentelemetry", "rich"},  # an application, and nothing imports it but its command
}
"""What of others may be imported where a module begins. Everywhere else: the standard library."""

LATE: dict[str, set[str]] = {
    "layers": {"yaml"},
    "pricebook": {"yaml", "genai_prices"},
    "ledger": {"redis"},
    "budgeting": {"opentelemetry"},  # what suppresses the instrumentation of a ledger's own store
    "tokens": {"tiktoken"},
    "similarity": {"rapidfuzz"},
    "cli": {"opentelemetry"},
    "demo": {"openai", "anthropic", "google", "rich", "opentelemetry"},
}
"""What may be imported inside a function, when it is needed: extras, and what costs start-up time."""

READS_ENVIRONMENT = {
    "otel_agentcost/settings/table.py": "the one reader of settings",
    "otel_agentcost/cli/doctor.py": "shows what OpenTelemetry's own variables say",
    "otel_agentcost/cli/demo/app.py": "an application: it looks for API keys when it is told to use real providers",
    "otel_agentcost/telemetry/attribution.py": "whether the user disabled the threading instrumentation",
    "otel_agentcost/wire/tokenizers.py": "where tiktoken keeps the vocabularies that it has downloaded",
}

LONGER_FUNCTIONS: dict[str, str] = {}
"""Functions that may have more than 50 lines, as `file:name`, each with its reason."""

LONGER_MODULES: dict[str, str] = {}
"""Modules that may have more than 400 lines, each with its reason."""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node: ast.AST, *, late: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules that are imported below `node`, each with whether that happens inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, late) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports name the whole path"
            whole = child.module or ""
            yield from (
                (f"{whole}.{alias.name}" if whole == "otel_agentcost" else whole, late) for alias in child.names
            )
        elif not only_for_types(child):
            yield from imports(child, late=late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


def part_imported(module: str) -> str | None:
    """The part of this package that an import of `module` needs; None for a module of others."""
    names = module.split(".")
    if names[0] != "otel_agentcost":
        return None
    inside = len(names) > 1 and ((PACKAGE / names[1]).is_dir() or (PACKAGE / f"{names[1]}.py").is_file())
    return names[1] if inside else "__init__"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_part_has_its_rule() -> None:
    """A new folder or module says here what it may import."""
    assert sorted({part_of(file) for file in SOURCES}) == sorted(MAY_IMPORT)


def test_imports_inside_the_package_point_one_way() -> None:
    """No part imports one that stands above it, not even late, to dodge a cycle."""
    wrong = [
        f"{name_of(file)} imports {module}"
        for file in SOURCES
        for module, _ in imports(parse(file))
        if (part := part_imported(module)) is not None and part not in MAY_IMPORT[part_of(file)]
    ]
    assert wrong == []


def test_nothing_of_others_is_imported_where_it_does_not_belong() -> None:
    """SDKs, tokenizers, YAML and the price library are never loaded by importing this package."""
    wrong = [
        f"{name_of(file)} imports {module}{' in a function' if late else ''}"
        for file in SOURCES
        for module, late in imports(parse(file))
        if (top := module.split(".")[0]) not in sys.stdlib_module_names | {"otel_agentcost"}
        and top not in OUTSIDE.get(part_of(file), set())
        and not (late and top in LATE.get(part_of(file), set()))
    ]
    assert wrong == []


def test_the_core_does_no_input_or_output() -> None:
    """The core is a function of its arguments: no clock, no file, no environment, no threads, no logging."""
    barred = {"os", "io", "time", "logging", "pathlib", "random", "socket", "subprocess", "sys", "threading", "asyncio"}
    wrong = [
        f"{name_of(file)} imports {module}"
        for file in SOURCES
        for module, _ in imports(parse(file))
        if part_of(file) == "core" and module.split(".")[0] in barred
    ]
    assert wrong == []


def test_the_environment_is_read_in_one_place() -> None:
    """Settings come from `settings.py`; what else looks at the environment has its reason."""
    readers = {
        name_of(file)
        for file in SOURCES
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }
    assert readers <= READS_ENVIRONMENT.keys()


def test_functions_are_short() -> None:
    """At most 50 lines each, so that one fits on a screen."""
    long = {
        f"{name_of(file)}:{node.name}"
        for file in [*SOURCES, *GRAFANA, *TESTS]
        for node in functions(parse(file))
        if (node.end_lineno or node.lineno) - node.lineno + 1 > 50
    }
    assert long == LONGER_FUNCTIONS.keys()


def test_modules_are_short() -> None:
    """At most 400 lines each."""
    long = {
        name_of(file)
        for file in [*SOURCES, *GRAFANA, *TESTS]
        if len(file.read_text(encoding="utf-8").splitlines()) > 400
    }
    assert long == LONGER_MODULES.keys()


def test_every_module_says_what_it_is() -> None:
    """Each module that holds anything opens with a docstring."""
    files = [file for file in [*SOURCES, *GRAFANA, *TESTS] if file.stat().st_size]
    assert [name_of(file) for file in files if not ast.get_docstring(parse(file))] == []


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
    files = {file.stem for file in (PACKAGE / "sdks").glob("*.py") if not file.stem.startswith("_")}
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
    for file in (PACKAGE / "sdks").glob("[a-z]*.py"):
        formats: dict[str, str] = import_module(f"otel_agentcost.integrations.sdks.{file.stem}").FORMATS
        for form in set(formats.values()):
            assert hasattr(import_module(f"otel_agentcost.wire.{form}"), "FORMAT"), f"{file.stem}: {form}"


def test_commands_are_found_by_listing_their_folder() -> None:
    """Every module of `cli/` is a subcommand."""
    commands = {file.stem for file in (PACKAGE / "cli").glob("[a-z]*.py")}
    assert {"demo", "doctor", "prices"} <= commands
    for command in commands:
        assert callable(import_module(f"{cli.__name__}.{command}").add_parser)
