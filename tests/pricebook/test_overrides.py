"""A user's own price file: what it can say, and the sentence for each mistake in it."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_agentcost
from otel_agentcost import runtime
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import BUNDLED, PriceBook, PriceFileError, open_book
from otel_agentcost.pricebook.build import main as compile_main

MILLION = Usage(counts={"input_tokens": 10**6, "output_tokens": 10**6})
NOW = 1.795e9

FILE = """
providers:
  openai:
    models:
      gpt-4o: {input_mtok: 2, cache_read_mtok: 1, output_mtok: 8}      # what we negotiated
      "ft:gpt-4o-mini:acme::*": {input_mtok: 0.30, output_mtok: 1.20}
      research-preview: {alias: gpt-4o-mini}
  azure:
    models:
      our-deployment: {alias: gpt-4o}
  local:
    base_url: http://localhost:11434
    models:
      "*": free
  acme:
    base_url: ["https://llm.acme.example/v1", "*.acme.internal"]
    like: openai
    models:
      acme-large:
        prices:
          - {input_mtok: 1, output_mtok: 2}
          - {start_date: 2027-01-01, input_mtok: 0.5, output_mtok: 1}
        variants:
          - {when: {service_tier: flex}, output_mtok: 0.25}
      acme-tiered:
        input_mtok: {base: 1, tiers: [{start: 128000, price: 2}]}
        output_mtok: 3
      acme-night:
        prices:
          - {input_mtok: 4, output_mtok: 4}
          - {start_time: 22:00, end_time: 06:30, input_mtok: 1, output_mtok: 1}
models:
  house-model: {input_mtok: 7, output_mtok: 7}
  other-name: {alias: anthropic/claude-sonnet-4-5}
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    file = tmp_path / "prices.yaml"
    file.write_text(FILE, encoding="utf-8")
    return open_book(file)


def usd(book: PriceBook, *models: str, at: float = NOW, usage: Usage = MILLION, **call: Any) -> Decimal | None:
    return book.price(
        usage,
        provider=call.get("provider"),
        base_url=call.get("base_url"),
        models=models,
        at=at,
        terms=call.get("terms", ()),
    ).usd


@pytest.mark.parametrize(
    ("models", "call", "expected"),
    [
        (("gpt-4o",), {"provider": "openai"}, 10),
        (("gpt-4o-2024-08-06", "gpt-4o"), {"base_url": "https://api.openai.com/v1"}, 10),  # the served, dated name
        (("gpt-4o",), {"provider": "azure"}, 12.5),  # another seller's price stays what it is
        (("ft:gpt-4o-mini:acme::a1b2",), {"provider": "openai"}, 1.5),
        (("FT:GPT-4o-mini:ACME::A1b2",), {"provider": "openai"}, 1.5),
        (("research-preview",), {"provider": "openai"}, 0.75),
        (("our-deployment",), {"provider": "azure"}, 12.5),
        (("gpt-4o-mini-2024-07-18", "our-deployment"), {"provider": "azure"}, 12.5),  # only the user knows that name
        (("gpt-4o-mini", "gpt-4o"), {"provider": "openai"}, 0.75),  # what served the call sets the price
        (("llama3.2:latest",), {"base_url": "http://localhost:11434/v1/", "provider": "openai"}, 0),
        (("llama3.2:latest",), {"base_url": "http://localhost:114345", "provider": "openai"}, None),
        (("acme-large",), {"base_url": "https://LLM.acme.example/v1/chat"}, 3),
        (("acme-large",), {"base_url": "https://eu.acme.internal/x", "terms": (("service_tier", "flex"),)}, 1.25),
        (("gpt-4o-mini",), {"base_url": "https://llm.acme.example/v1"}, 0.75),  # like openai
        (("acme/acme-large",), {"base_url": "https://proxy.example", "provider": "openai"}, 3),
        (("acme-tiered",), {"base_url": "https://llm.acme.example/v1"}, 5),
        (("house-model",), {"provider": "openai"}, 14),
        (("house-model",), {"provider": "anthropic"}, 14),
        (("other-name",), {"provider": "openai"}, 28.5),
        (("gpt-5",), {"provider": "local"}, 0),
        (("never-heard-of",), {"provider": "openai"}, None),
    ],
)
def test_own_prices_go_before_the_book(
    book: PriceBook, models: tuple[str, ...], call: dict[str, Any], expected: float | None
) -> None:
    """Added, overridden, renamed, wildcard, fine-tuned and free models, and own providers: each has its price."""
    assert usd(book, *models, **call) == (None if expected is None else Decimal(str(expected)))


def test_own_prices_may_change_with_time(book: PriceBook) -> None:
    """Dated lists count from their day on, nightly ones between their hours; both in UTC."""
    at_acme: dict[str, Any] = {"base_url": "https://llm.acme.example/v1"}
    assert usd(book, "acme-large", at=1798761599.0, **at_acme) == 3  # 2026-12-31 23:59:59
    assert usd(book, "acme-large", at=1798761600.0, **at_acme) == Decimal("1.5")
    midnight = 1798761600.0
    for hours, price in [(21.9, 8), (22, 2), (6.4, 2), (6.5, 8), (12, 8)]:
        assert usd(book, "acme-night", at=midnight + hours * 3600, **at_acme) == price


def test_json_says_the_same(tmp_path: Path) -> None:
    """A .json file is read without PyYAML, and its numbers are taken as they were written."""
    file = tmp_path / "prices.json"
    file.write_text('{"models": {"m": {"input_mtok": 0.1, "output_mtok": 1e-1}}}', encoding="utf-8")
    assert usd(open_book(file), "m", provider="openai") == Decimal("0.2")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("models: {m: {input_mtok: two dollars}}", "input_mtok is 'two dollars', which is not an amount of dollars"),
        ("models: {m: {input_mtok: -1}}", "input_mtok is '-1'"),
        ("models: {m: {imput_mtok: 1}}", "'imput_mtok' is not a price key (did you mean input_mtok?)"),
        ("models: {m: {input_mtok: 1, price: 2}}", "'price' is not a price key"),
        ("models: {m: {cache_read_mtok: 1}}", "cache_read_mtok needs a price for input_mtok"),
        ("models: {m: {}}", "model m has no prices: write free if it costs nothing"),
        ("models: {m: {prices: [{start_date: soon, input_mtok: 1}]}}", "start_date is 'soon'"),
        ("models: {m: {prices: [{start_time: 8:00, input_mtok: 1}]}}", "start_time is '8:00'"),
        (
            "models: {m: {start_date: 2026-01-01, input_mtok: 1}}",
            "start_date is misplaced: move it into one of the lists",
        ),
        ("models: {m: {prices: [], variants: []}}", "prices is []"),
        ("models: {m: {prices: [{}]}}", "there are no prices"),
        ("models: {m: {input_mtok: 1, prices: [{input_mtok: 1}]}}", "'input_mtok' stands beside prices"),
        ("models: {m: {input_mtok: {base: 1}}}", "neither a number nor a base with tiers"),
        ("models: {m: {input_mtok: {base: 1, tiers: [{start: big, price: 1}]}}}", "starts at 'big'"),
        ("models: {m: {input_mtok: 1, variants: [{input_mtok: 1}]}}", "a variant's when is None"),
        ("models: {m: {input_mtok: 1, variants: [{when: {a: b}, cache_read_mtok: 1, input_audio_mtok: 1}]}}", "need"),
        ("models: {m: {alias: gpt-99}}", "model m is an alias for 'gpt-99', which the price book does not have"),
        ("models: {m: {alias: gpt-4o, input_mtok: 1}}", "an alias must be a name, and the only field"),
        ("models: {m: {input_mtok: 1}, M: {input_mtok: 2}}", "'M' is written twice"),
        ("models: {m: {input_mtok: 1}, m: {input_mtok: 2}}", "model m is written twice in one place (line 1)."),
        ("models: [m]", "models is ['m'], which is not a mapping"),
        ("model: {m: free}", "the file has a field 'model', which is not one of ['book', 'models', 'providers']"),
        ("providers: {p: {input_mtok: 1}}", "prices belong below models"),
        ("providers: {p: {base_url: {}}}", "base_url of provider p is {}"),
        ("providers: {p: {like: nobody}}", "provider p is like 'nobody'"),
        ("providers: {aws: {models: {}}, bedrock: {models: {}}}", "provider aws occurs twice"),
        ("book: [x]", "book is ['x']"),
        ("book: nowhere.jsonl", "nowhere.jsonl cannot be read (No such file or directory)"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, written: str, said: str) -> None:
    """A mistake refuses its row, quoted, with what happens now and what to do; no other price changes in silence."""
    file = tmp_path / "prices.yaml"
    file.write_text(written, encoding="utf-8")
    (problem,) = open_book(file).problems
    assert said in str(problem)
    assert str(problem).startswith(f"{file}: ")
    assert "; all other rows apply. Correct the file and try: " in str(problem)
    assert str(problem).endswith(f"agentcost prices check {file}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.yaml", None, "it cannot be read"),
        ("latin.yaml", b"models: {caf\xe9: free}", "it is not text in UTF-8"),
        ("broken.json", b"{", "it is not JSON"),
        ("list.yaml", b"- a", r"it holds \['a'\], not a mapping"),
        ("broken.yaml", b"a: [", "it is not YAML"),
        ("circle.yaml", b"models: &m {x: *m}", "it contains itself"),
        ("keys.yaml", b"? [a]\n: b", r"line 1: \['a'\] is not a name"),
        ("deep.json", b"[" * 100_000, "it is not JSON"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    """A file that is not there, not text or not what its name says gives the same kind of sentence."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PriceFileError, match=said):
        open_book(tmp_path / name)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    """A file in which everything is commented out is no mistake."""
    file = tmp_path / "prices.yaml"
    file.write_text("# nothing yet\n", encoding="utf-8")
    assert usd(open_book(file), "gpt-4o", provider="openai") == Decimal("12.5")


def test_missing_yaml_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is optional: the sentence names the extra and the other way out."""
    file = tmp_path / "prices.yaml"
    file.write_text("models: {m: free}", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(PriceFileError) as refused:
        open_book(file)
    assert str(refused.value).endswith("Install it (pip install 'otel-agentcost[yaml]'), or write the file in JSON.")
    assert "Correct the file" not in str(refused.value)


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    """The sentence says once which file, that it is not there, what names it, and what follows."""
    file = tmp_path / "absent.yaml"
    with pytest.raises(PriceFileError) as refused:
        open_book(file)
    said = str(refused.value)
    assert said.startswith(f"{file}: it cannot be read (No such file or directory). ")
    assert said.count(str(file)) == 1
    assert "OTEL_AGENTCOST_PRICES" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            '{"models": {"m": {"input_mtok": "two dollars"}, "n": "free", "n": "free"}}',
            ["Calls of m are unpriced (agentcost.unpriced); all other rows apply", "model n is written twice in one"],
        ),
        ("{", ["uses list prices alone, and marks every cost with agentcost.unpriced"]),
    ],
)
def test_a_broken_file_turns_off_no_more_than_its_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: str, words: list[str]
) -> None:
    """A log line for each mistake says what follows: the application is measured, and no dollar passes for its own."""
    file = tmp_path / "prices.json"
    file.write_text(content, encoding="utf-8")
    monkeypatch.setenv("OTEL_AGENTCOST_PRICES", str(file))
    otel_agentcost.instrument()
    instrumented = runtime.running()
    otel_agentcost.uninstrument()
    assert instrumented
    for record, said in zip(caplog.records, words, strict=True):
        assert said in record.getMessage()
    monkeypatch.setenv("OTEL_AGENTCOST_STRICT", "true")
    with pytest.raises(SystemExit):
        otel_agentcost.instrument()
    assert not runtime.running()


def test_a_list_price_is_not_taken_for_the_price_of_a_file_that_cannot_be_used() -> None:
    """It has dollars, for budgets, and says beside them that they may be wrong."""
    book = open_book(doubt="the price file cannot be used")
    usage = Usage(counts={"input_tokens": 1000})
    for model, usd in (("gpt-4o-mini", Decimal("0.00015")), ("nobodys-model", None)):
        cost = book.price(usage, provider="openai", base_url=None, models=(model,), at=1_790_000_000.0)
        assert (cost.usd, cost.unpriced is None) == (usd, False)
        assert (cost.unpriced == "the price file cannot be used") == (usd is not None)


def test_a_compiled_book_can_replace_the_bundled_one(tmp_path: Path) -> None:
    """What `agentcost prices sync` wrote is used when it is named directly, or by an own file beside it."""
    newer = tmp_path / "newer.jsonl"
    text = BUNDLED.read_text(encoding="utf-8").replace('"version":"', '"version":"9.', 1)
    newer.write_text(text, encoding="utf-8")
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"book": "newer.jsonl", "models": {"m": "free"}}), encoding="utf-8")
    for file in (newer, own):
        book = open_book(file)
        assert book.source.startswith("genai-prices 9.")
        assert usd(book, "gpt-4o", provider="openai") == Decimal("12.5")
    assert usd(open_book(own), "m", provider="openai") == 0


FIELDS = [
    *("models", "providers", "book", "alias", "like", "base_url", "prices", "variants", "when", "input_mtok", "base"),
    *("tiers", "start", "price", "start_date", "start_time", "end_time", "minimum_seconds", "m*", "["),
    *("days", "except", "uplifts", "address", "factor"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON)
@settings(max_examples=300, deadline=None)
def test_no_file_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, models: object, whole: object) -> None:
    """Whatever a file holds, opening it works or raises the one error that callers expect."""
    file = tmp_path_factory.getbasetemp() / "any.json"
    for written in (whole, {"models": {"m": models}}, {"providers": {"p": models}}, {"models": models}):
        file.write_text(json.dumps(written), encoding="utf-8")
        try:
            book = open_book(file)
        except PriceFileError:
            continue
        found = usd(book, "m", provider="nobody")
        assert found is None or found >= 0


def test_the_compiler_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m otel_agentcost.pricebook.build FILE` writes a book that can be opened."""
    pytest.importorskip("genai_prices", reason="the compiler needs genai-prices, which needs Python 3.11")
    target = tmp_path / "book.jsonl"
    monkeypatch.setattr(sys, "argv", ["compile", str(target)])
    assert compile_main() == 0
    assert open_book(target).book.version == open_book().book.version


def test_the_examples_in_the_documentation_work(tmp_path: Path) -> None:
    """Every YAML example of docs/prices.md is a file that opens, and prices what its comments say."""
    text = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")
    examples = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    books: list[PriceBook] = []
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example, encoding="utf-8")
        books.append(open_book(file))
    first, second = books
    assert usd(first, "gpt-4o-2024-11-20", provider="openai") == 10
    assert usd(first, "ft:gpt-4.1-mini-2025-04-14:acme::x1", provider="openai") == 4
    assert usd(first, "acme-large", base_url="https://eu.llm.acme.example/v1/chat") == 3
    assert usd(first, "gpt-4o-mini", base_url="https://llm.acme.example/v1") == Decimal("0.75")
    assert usd(first, "fast-claude", provider="openai") == usd(first, "claude-haiku-4-5", provider="anthropic")
    assert usd(second, "tiered", provider="openai") == Decimal("17.5")
    assert usd(second, "with-terms", provider="openai", terms=(("service_tier", "flex"),)) == Decimal("2.5")
    data_zone: dict[str, Any] = {"provider": "azure", "base_url": "https://acme-eu.openai.azure.com/openai"}
    assert usd(first, "gpt-5.4", **data_zone) == Decimal("1.1") * (usd(first, "gpt-5.4", provider="azure") or 0)
    assert usd(first, "our-deployment", **data_zone) == usd(first, "our-deployment", provider="azure")
    assert usd(second, "working-days", provider="openai", at=1_796_119_200) == 5  # Tuesday, 2026-12-01, 10:00 UTC
    assert usd(second, "working-days", provider="openai", at=1_798_192_800) == Decimal("2.5")  # 25 December
