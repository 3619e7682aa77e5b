"""The tool cache never gives a wrong result: all arguments count, and the code, and only what can be copied is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import otel_agentcost
from otel_agentcost.savings.tools.code import code_of
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry

ran: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """No tool has run yet."""
    ran.clear()


def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an argument, and a default of its own."""

    @functools.wraps(function)
    def wrapper(*args: Any, limit: int = 99, **kwargs: Any) -> Any:
        return function("db", *args, limit=limit, **kwargs)

    return wrapper


@otel_agentcost.tool(cache="10m")
@with_database
def search(db: str, query: str, limit: int = 3) -> str:
    return f"{limit} rows of {db} for {query}"


def test_an_argument_that_a_decorator_adds(telemetry: Telemetry) -> None:
    """The call is compared as it was made, not as the inner function would have it."""
    with instrumented(telemetry):
        for _ in range(2):
            assert search("bees") == "99 rows of db for bees"
            assert search("ants") == "99 rows of db for ants"
            assert search("ants", limit=3) == "3 rows of db for ants"


@otel_agentcost.tool(cache="10m")
def examples(cls: str, limit: int = 3) -> str:
    return f"{limit} examples of {cls}"


@otel_agentcost.tool(cache="10m")
def own(self: str) -> str:
    return f"own {self}"


class Client:
    """An object with a tool."""

    def __init__(self, name: str) -> None:
        self.name = name

    @otel_agentcost.tool(cache="10m")
    def who(self, query: str) -> str:
        ran.append(query)
        return f"{self.name} {query}"


def test_arguments_named_as_those_of_methods(telemetry: Telemetry) -> None:
    """`cls` and `self` count like others, by position and by name, and so does `self` that is passed by name."""
    one, other = Client("one"), Client("other")
    with instrumented(telemetry):
        for _ in range(2):
            for name in ("spam", "ham"):
                assert examples(cls=name) == examples(name) == f"3 examples of {name}"
                assert own(self=name) == own(name) == f"own {name}"
            for client in (one, other):
                assert Client.who(self=client, query="x") == client.who("x") == f"{client.name} x"
    assert ran == ["x", "x"]


@otel_agentcost.tool(cache="10m")
def positional(a: int, /, **more: Any) -> str:
    return f"{a} {more}"


@otel_agentcost.tool(cache="10m")
def various(*args: Any, **more: Any) -> str:
    return f"{args} {more}"


def test_one_name_twice(telemetry: Telemetry) -> None:
    """Arguments by position and by name are apart, also under one name."""
    with instrumented(telemetry):
        for _ in range(2):
            assert positional(1, a=2) == "1 {'a': 2}"
            assert positional(5, a=2) == "5 {'a': 2}"
            assert various(1, args=2) == "(1,) {'args': 2}"
            assert various(9, args=2) == "(9,) {'args': 2}"
            assert various(1, 2) == "(1, 2) {}"
            assert various((1, 2)) == "((1, 2),) {}"
            assert various(more=1) == "() {'more': 1}"


@dataclass
class Query:
    """Has more than its fields."""

    text: str
    language: dataclasses.InitVar[str]

    def __post_init__(self, language: str) -> None:
        self.hidden = language


@dataclass
class Base:
    """Has one field."""

    text: str


class Sub(Base):
    """Has more than its fields, and is no dataclass of its own."""

    def __init__(self, text: str, hidden: str) -> None:
        super().__init__(text)
        self.hidden = hidden


class Slotted(Base):
    """Has a slot beside."""

    __slots__ = ("hidden",)

    def __init__(self, text: str, hidden: str) -> None:
        super().__init__(text)
        self.hidden = hidden


@dataclass
class Listed(list[int]):
    """Is a list besides."""

    text: str = "x"


class Zone(tzinfo):
    """Shows nothing of what it has."""

    def __init__(self, hidden: str) -> None:
        self.hidden = hidden

    def __repr__(self) -> str:
        return "zone"

    def utcoffset(self, _: datetime | None, /) -> None:
        """Unknown."""

    def dst(self, _: datetime | None, /) -> None:
        """Unknown."""

    def tzname(self, _: datetime | None, /) -> None:
        """Unknown."""


class Level(enum.IntFlag):
    """Has one member; other values have no name."""

    LOW = 1


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: Any


@otel_agentcost.tool(cache="10m")
def take(what: Any) -> str:
    ran.append(what)
    return seen(what)


def seen(what: Any) -> str:
    """All that an object has."""
    return f"{type(what).__name__} {getattr(what, 'hidden', None)} {getattr(what, 'table', None)} " + (
        hex(what) if type(what) is int else repr(what)
    )


def made(table: str) -> type:
    return type("Table", (Base,), {"table": table, "__module__": __name__})


def test_arguments_with_more_than_fields(telemetry: Telemetry) -> None:
    """All state of an object counts; one whose class is made at run time, or whose state is hidden, is not kept."""
    moments = [datetime(2026, 1, 1, tzinfo=Zone(name)) for name in ("a", "b")]
    pairs: list[tuple[Any, Any]] = [
        (Query("x", "de"), Query("x", "fr")),
        (Sub("x", "de"), Sub("x", "fr")),
        (Slotted("x", "de"), Slotted("x", "fr")),
        (Listed("a"), Listed("a")),
        (made("a")("x"), made("b")("x")),
        (Level(8), Level(16)),
        (Pair(1, 2), Pair(1, "2")),
        (Pair(3, 4), (3, 4)),
        (1 << 20_000, (1 << 20_000) + 1),
    ]
    pairs[3][0].append(1)
    with instrumented(telemetry):
        for pair in pairs:
            answers = [(take(each), seen(each)) for _ in range(2) for each in pair]
            assert all(answer == expected for answer, expected in answers)
            assert all(any(each is one for one in ran) for each in pair)
        ran.clear()
        for moment in moments:
            take(moment)
        assert len(ran) == 2
        for each in (Sub("x", "de"), Level(8), Pair(1, 2)):
            take(each)
    assert len(ran) == 2


NOTHING = object()


class Document:
    """A copy opens it again."""

    def __init__(self) -> None:
        self.connection = "open"

    def __getstate__(self) -> dict[str, Any]:
        return {"connection": None}


@dataclass
class Lazy:
    """A dataclass that leaves something out."""

    text: str

    def __getstate__(self) -> dict[str, Any]:
        return {"text": ""}


class Exits:
    """Ends the program when it is copied."""

    def __reduce__(self) -> Any:
        raise SystemExit


def test_results_that_a_copy_would_change(telemetry: Telemetry) -> None:
    """Sentinels, objects that copy in a way of their own, and containers of such, are not kept; plain ones are."""

    @otel_agentcost.tool(cache="10m")
    def give(i: int) -> Any:
        ran.append(i)
        return results[i]

    odd = [NOTHING, Document(), Lazy("x"), Exits(), made("a")("x"), Zone("a"), len, iter([1])]
    results: list[Any] = [*odd, *([each] for each in odd), {"x": Exits()}, Pair(1, NOTHING)]
    with instrumented(telemetry):
        for i, result in enumerate(results):
            assert give(i) is give(i) is result
        assert len(ran) == 2 * len(results)
        ran.clear()
        results[:] = plain = [
            Level.LOW, Level(8), Pair(1, Base("x")), Sub("x", "y"), datetime(2026, 1, 1, tzinfo=timezone.utc)
        ]  # fmt: skip
        for i, result in enumerate(plain, -len(plain)):  # other arguments than before
            assert give(i) == give(i) == result
            assert type(give(i)) is type(result)
    assert len(ran) == len(plain)


async def test_a_huge_result_does_not_block(telemetry: Telemetry) -> None:
    """Of a result that is too large, no more is read than tells that it is."""
    huge = list(range(5_000_000))

    @otel_agentcost.tool(cache="10m")
    async def give(query: str) -> Any:
        await asyncio.sleep(0)
        return {"rows": huge} if query == "rows" else huge

    with instrumented(telemetry):
        await give("warm")
        began = time.process_time()
        assert await give("bees") is huge
        assert (await give("rows"))["rows"] is huge
        assert time.process_time() - began < 0.05


@pytest.mark.parametrize("wrong", [{"cache": "\u0663m"}, {"cache": "10m", "scope": []}, {"cache": "10m", "scope": ""}])
def test_a_time_or_scope_that_is_none(wrong: Any) -> None:
    """Digits of other scripts, and empty scopes, are refused with a sentence."""
    with pytest.raises(ValueError, match=r"is not a time|is none of"):
        otel_agentcost.tool(**wrong)


PROGRAM = """
    import otel_agentcost
    otel_agentcost.instrument()
    {before}
    @otel_agentcost.tool(cache="1h")
    def look(query):
        {body}
    with otel_agentcost.attribute(tenant="acme"):
        print(look("bees"))
"""


def asked(folder: Path, name: str, *, version: str = "", as_module: bool = True, **parts: str) -> str:
    """Return what a program with this code answers, with a store that all of them share."""
    source = textwrap.dedent(PROGRAM).format(**{"before": "", **parts})
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    environment = {
        **os.environ,
        "OTEL_AGENTCOST_CACHE_STORE": f"sqlite:///{folder}/cache.db",
        "OTEL_AGENTCOST_CACHE_VERSION": version,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", f"import {name}"] if as_module else [sys.executable, f"{name}.py"]
    return subprocess.check_output(command, cwd=folder, env=environment, text=True).strip()


def test_constants_of_any_kind_are_code() -> None:
    """Code that differs in a constant, wherever it is, is other code."""
    bodies = (
        'q in ("bees", "a")', 'q in ("wasps", "a")', 'q in {"bees", "a"}', 'q in {"wasps", "a"}', '["a", "b", "c"]',
        '["d", "e", "f"]', '{"a": 1, "b": 2}', '{"c": 1, "d": 2}', "None", "...", "1", "1.0", "1j", "True", 'b"1"',
        "lambda: (1, 2)", "lambda: (1, 3)", "q[1:2]", "q[1:3]", "q.a", "q.b", "10 ** 9", "1e9", '"1"',
    )  # fmt: skip
    seen: set[tuple[str, ...]] = set()
    for body in bodies:
        seen.add(tuple(code_of(eval(f"lambda q: {body}").__code__)))
    assert len(seen) == len(bodies)


def test_new_code_gets_no_result_of_old_code(tmp_path: Path) -> None:
    """Another version of the file begins anew, after every kind of change."""
    answers = [asked(tmp_path, "service", before=f"TABLE = {i}", body="return [TABLE]") for i in range(2)]
    assert answers == ["[0]", "[1]"]


def test_the_same_code_and_other_programs(tmp_path: Path) -> None:
    """Processes with the same file share; programs of the same code elsewhere, and other versions, do not."""
    body: dict[str, Any] = {"before": "import os", "body": "return os.getpid()"}
    first = asked(tmp_path, "service", **body)
    assert asked(tmp_path, "service", **body) == first
    assert asked(tmp_path, "service", version="2", **body) != first
    assert asked(tmp_path, "other", **body) != first
    programs = [asked(tmp_path, name, as_module=False, **body) for name in ("one", "one", "two")]
    assert programs[0] == programs[1] != programs[2]
