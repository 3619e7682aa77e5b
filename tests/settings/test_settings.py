"""Settings: what is read from where, what beats what, and what the user is told when a setting cannot be understood."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import FrozenInstanceError, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core.tool_prices import ToolPrice
from otel_agentcost.errors import SettingsError
from otel_agentcost.settings import ROWS, Settings, from_environment
from tools import documents


def load(environ: dict[str, str] | None = None, **arguments: object) -> Settings:
    return from_environment(environ or {}, **arguments)


def problem(environ: dict[str, str], **arguments: object) -> str:
    """What is said of them; nothing is raised but with `strict`, which says the same."""
    said = load(environ, **arguments).notices
    assert said
    with pytest.raises(SettingsError) as caught:
        load(environ, **arguments, strict=True)
    assert all(notice[:40] in str(caught.value) for notice in said)
    return " ".join(said)


ELSEWHERE = {"http", "hosts", "record", "record_days", "webhook", "on_context", "bill_labels"} | {
    row.field for row in ROWS if "cache" in row.field and row.field != "prompt_cache_health"
}
"""Fields whose tests are in other modules."""


def written(tmp_path: Path, name: str, content: str) -> dict[str, str]:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    return {"OTEL_AGENTCOST_CONFIG": str(file)}


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing set means instrumented, built-in prices, nobody to attribute to, and no content recorded."""
    settings = load()
    assert settings == Settings()
    assert settings.enabled
    assert settings.prices is None
    assert settings.tool_prices == {}
    assert settings.user is None
    assert settings.capture_content == "NO_CONTENT"
    assert settings.notices == ()
    assert settings.sources == {}


def test_every_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    """Each variable of the table lands in its field, parsed (budgets, HTTP and the store: elsewhere)."""
    config = tmp_path / "settings.json"
    config.write_text("{}", encoding="utf-8")
    settings = load(
        {
            "OTEL_AGENTCOST_ENABLED": "False",
            "OTEL_AGENTCOST_PRICES": "~/prices.yaml",
            "OTEL_AGENTCOST_PRIVATE_ADDRESSES": "Free",
            "OTEL_AGENTCOST_TOOL_PRICES": " web_search=0.005, read_page=0.001,",
            "OTEL_AGENTCOST_UPSTREAM": "Ledger",
            "OTEL_AGENTCOST_LOOP_MAX_REPEATS": "5",
            "OTEL_AGENTCOST_LOOP_ACTION": "Block",
            "OTEL_AGENTCOST_LOOP_RULES": "stall, repeat",
            "OTEL_AGENTCOST_LOOP_THRESHOLDS": "stall=12, results=0.95",
            "OTEL_AGENTCOST_PROMPT_CACHE_HEALTH": "off",
            "OTEL_AGENTCOST_STRICT": "yes",
            "OTEL_AGENTCOST_CONFIG": str(config),
            "OTEL_AGENTCOST_USER": "u1",
            "OTEL_AGENTCOST_TENANT": "t1",
            "OTEL_AGENTCOST_TEAM": "search",
            "OTEL_AGENTCOST_FEATURE": "support",
            "OTEL_AGENTCOST_AGENT": "researcher",
            "OTEL_AGENTCOST_CONVERSATION": "c1",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_and_event",
        }
    )
    assert settings == Settings(
        enabled=False,
        prices=Path.home() / "prices.yaml",
        private_addresses="free",
        tool_prices={"web_search": ToolPrice(Decimal("0.005")), "read_page": ToolPrice(Decimal("0.001"))},
        upstream="ledger",
        loop_max_repeats=5,
        loop_rules=("repeat", "stall"),
        loop_thresholds={"stall": 12, "results": 0.95},
        prompt_cache_health="off",
        loop_action="block",
        strict=True,
        config=config,
        user="u1",
        tenant="t1",
        team="search",
        feature="support",
        agent="researcher",
        conversation="c1",
        capture_content="SPAN_AND_EVENT",
    )
    assert set(settings.sources) == {row.field for row in ROWS if not row.budget} - ELSEWHERE
    assert set(settings.sources.values()) == {"environment"}
    assert settings.notices == ()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOOP_RULES", "repeat,cicle", "where 'cicle' is none of repeat, cycle, near_repeat"),
        ("LOOP_RULES", ",", "is none of repeat"),
        ("LOOP_THRESHOLDS", "stall", "where 'stall' does not have the form threshold=number"),
        ("LOOP_THRESHOLDS", "repeats=4", "where 'repeats' is none of stall, arguments"),
        ("LOOP_THRESHOLDS", "stall=1.5", "where stall is '1.5', which is not a whole number from 1 to 1000"),
        ("LOOP_THRESHOLDS", "results=95", "where results is '95', which is not a share above 0 and at most 1"),
    ],
)
def test_what_is_unclear_about_loops_is_quoted(name: str, value: str, said: str) -> None:
    """With the names that there are, and what a number should be."""
    assert said in problem({f"OTEL_AGENTCOST_{name}": value})


def test_argument_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Each place overrides the next, setting by setting, and `sources` says which one won."""
    environ = written(tmp_path, "a.json", json.dumps({"user": "file", "team": "file", "feature": "file"}))
    environ |= {"OTEL_AGENTCOST_USER": "environment", "OTEL_AGENTCOST_TEAM": "environment"}
    settings = load(environ, user="argument", agent=None)
    assert (settings.user, settings.team, settings.feature, settings.agent) == ("argument", "environment", "file", None)
    assert settings.sources["user"] == "argument"
    assert settings.sources["team"] == "environment"
    assert settings.sources["feature"] == environ["OTEL_AGENTCOST_CONFIG"]
    assert "agent" not in settings.sources


def test_an_argument_may_name_the_file(tmp_path: Path) -> None:
    """`config=` as an argument beats the variable of that name."""
    environ = written(tmp_path, "a.json", '{"user": "of the environment"}')
    other = tmp_path / "b.json"
    other.write_text('{"user": "of the argument"}', encoding="utf-8")
    assert load(environ, config=other).user == "of the argument"


def test_load_reads_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, `load` looks at the real environment."""
    monkeypatch.setenv("OTEL_AGENTCOST_USER", "u1")
    assert from_environment().user == "u1"
    assert from_environment({}).user is None


def test_a_yaml_file_holds_native_values(tmp_path: Path) -> None:
    """Booleans, numbers and mappings in YAML mean what they say, and numbers stay exact."""
    environ = written(
        tmp_path,
        "settings.yaml",
        "enabled: false\ntool_prices:\n  web_search: 0.005\n  read page, slowly: '0.001'\n"
        "OTEL_AGENTCOST_USER: 42\nteam:\n",
    )
    settings = load(environ)
    assert not settings.enabled
    assert settings.tool_prices["web_search"] == ToolPrice(Decimal("0.005"))
    assert settings.tool_prices["read page, slowly"] == ToolPrice(Decimal("0.001"))
    assert settings.user == "42"
    assert settings.team is None


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_sets_nothing(tmp_path: Path, content: str) -> None:
    """An empty settings file is no mistake."""
    assert load(written(tmp_path, "settings.yaml", content)) == Settings(config=tmp_path / "settings.yaml")


def test_blank_counts_as_not_set() -> None:
    """An empty variable is the same as none, as everywhere in OpenTelemetry."""
    assert load({row.variable: " " for row in ROWS}) == Settings()
    assert load({"OTEL_AGENTCOST_TRACE_BUDGET_USD": ""}).notices == ()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ENABLED", "maybe", "which is neither true nor false"),
        ("TOOL_PRICES", "web_search", "'web_search' does not have the form tool=dollars"),
        ("TOOL_PRICES", "=0.1", "'=0.1' does not have the form tool=dollars"),
        ("TOOL_PRICES", "web_search=cheap", "the price of web_search is 'cheap', which is not an amount of US dollars"),
        ("TOOL_PRICES", "web_search=-1", "the price of web_search is '-1', which is not an amount of US dollars"),
        ("TOOL_PRICES", "web_search=nan", "the price of web_search is 'nan', which is not an amount of US dollars"),
        ("TOOL_PRICES", "a=1,a=2", "which has two prices for a"),
        ("CONFIG", "/nowhere/settings.yaml", "which cannot be read (No such file or directory)"),
        ("CONFIG", "~nobody-of-that-name/s.yaml", "whose home directory is unknown"),
    ],
)
def test_a_malformed_value_is_quoted_with_its_name_and_the_remedy(name: str, value: str, why: str) -> None:
    """The text quotes name and value, says why, what happens now, and what to do."""
    said = problem({f"OTEL_AGENTCOST_{name}": value})
    assert said.startswith(f"OTEL_AGENTCOST_{name} is '{value}', ")
    assert why in said
    assert "is ignored" in said or "in effect" in said


def test_all_malformed_values_are_named_at_once() -> None:
    """Nobody has to start three times to learn of three mistakes."""
    said = problem({"OTEL_AGENTCOST_ENABLED": "maybe", "OTEL_AGENTCOST_TOOL_PRICES": "x"}, user=["u1"])
    assert "OTEL_AGENTCOST_ENABLED is 'maybe'" in said
    assert "OTEL_AGENTCOST_TOOL_PRICES is 'x'" in said
    assert "the argument user is ['u1'], which is not text" in said


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("s.yaml", "user: [", "which cannot be parsed ("),
        ("s.json", "{", "which cannot be parsed ("),
        ("s.yaml", "- user", "which is not a mapping of settings"),
        ("s.yaml", "config: other.yaml", "which names another settings file"),
        ("s.yaml", "user: [&a [*a]", "which cannot be parsed ("),
        ("s.yaml", "user: u1\nteam: a\nuser: u2", "where 'user' occurs twice in one mapping"),
        ("s.yaml", "user: u1\nOTEL_AGENTCOST_USER: u2", "where 'user' occurs twice in one mapping"),
        ("s.yaml", "budgets:\n- {scope: user, usd: 1, usd: 2}", "where 'usd' occurs twice in one mapping"),
        ("s.json", '{"budgets": {"user:": "usd=1", "user:": "usd=2"}}', "where 'user:' occurs twice in one mapping"),
        ("s.json", "[" * 100_000, "which cannot be parsed ("),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, why: str) -> None:
    """A settings file that cannot be used is quoted by its path, on one line."""
    said = problem(written(tmp_path, name, content))
    assert f"OTEL_AGENTCOST_CONFIG is '{tmp_path / name}', {why}" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("user: true", "user in {file} is True, which is not text"),
        ("prices: 3", "prices in {file} is 3, which is not a path"),
        ("tool_prices: [a, b]", "tool_prices in {file} is ['a', 'b'], which does not have the form tool=dollars"),
        ("tool_prices: {a: true}", "where the price of a is True, which is not an amount of US dollars"),
    ],
)
def test_a_malformed_value_in_a_file_names_the_file(tmp_path: Path, content: str, why: str) -> None:
    """A mistake in the file is quoted with the key and the path."""
    environ = written(tmp_path, "s.yaml", content)
    assert why.format(file=environ["OTEL_AGENTCOST_CONFIG"]) in problem(environ)


def test_a_yaml_file_without_pyyaml_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy for a missing package is its installation."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    said = problem(written(tmp_path, "s.yaml", "user: u1"))
    assert "pip install 'otel-agentcost[yaml]'" in said


def test_an_unknown_name_is_quoted_with_the_nearest_known_one() -> None:
    """A misspelt setting has no effect, and the user learns what was meant."""
    (notice,) = load({"OTEL_AGENTCOST_TOOLPRICES": "a=1"}).notices
    assert "OTEL_AGENTCOST_TOOLPRICES is 'a=1', but" in notice
    assert "Did you mean OTEL_AGENTCOST_TOOL_PRICES?" in notice
    assert "BUDGET" not in notice


def test_an_unknown_name_like_no_other_points_to_the_readme() -> None:
    """Where nothing is near, nothing is guessed."""
    (notice,) = load({"OTEL_AGENTCOST_ZZZ": "1"}).notices
    assert "Did you mean" not in notice
    assert "docs/settings.md lists the settings" in notice


def test_settings_made_in_code_are_understood_like_those_of_the_environment() -> None:
    """Text becomes what it stands for, whichever way a Settings is made; None and blank count as not given."""
    made: dict[str, Any] = {
        "enabled": "false",
        "prices": "~/own.json",
        "tool_prices": {"web_search": "0.005", "read_page": 0.001},
        "user": 42,
        "team": " ",
        "agent": None,
        "capture_content": "span_only",
    }
    settings = Settings(**made)
    assert settings == load(**made)
    assert settings.enabled is False
    assert settings.prices == Path.home() / "own.json"
    assert settings.tool_prices == {"web_search": ToolPrice(Decimal("0.005")), "read_page": ToolPrice(Decimal("0.001"))}
    assert (settings.user, settings.team, settings.agent) == ("42", None, None)
    assert settings.capture_content == "SPAN_ONLY"
    assert replace(settings, user="u2").user == "u2"


def test_settings_made_in_code_that_cannot_be_understood_are_quoted() -> None:
    """All mistakes are named at once, with their values and what to do."""
    wrong: dict[str, Any] = {"enabled": "maybe", "tool_prices": {"a": "x"}, "capture_content": "SPAN"}
    with pytest.raises(SettingsError) as caught:
        Settings(**wrong)
    said = str(caught.value)
    assert "enabled of Settings is 'maybe', which is neither true nor false." in said
    assert (
        "where the price of a is 'x', which is not an amount of US dollars: write 0.005 per call, or 0.01/s per second."
        in said
    )
    assert "capture_content of Settings is 'SPAN', which is none of NO_CONTENT, " in said
    assert said.endswith(" Correct or remove the value.")


def test_a_settings_object_does_not_follow_the_mapping_it_was_made_from() -> None:
    """Prices are copied: who changes the dictionary later does not change the settings."""
    prices = {"a": Decimal(1)}
    settings = Settings(tool_prices=prices)
    prices["a"] = Decimal(2)
    assert settings.tool_prices == {"a": ToolPrice(Decimal(1))}


def test_the_table_says_what_true_means_for_content() -> None:
    """`true` is no value of the list, so its row says what it stands for."""
    (row,) = (row for row in ROWS if row.field == "capture_content")
    assert "`true` means `SPAN_ONLY`" in row.meaning


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("NO_CONTENT", "NO_CONTENT"),
        ("false", "NO_CONTENT"),
        ("SPAN_ONLY", "SPAN_ONLY"),
        ("true", "SPAN_ONLY"),
        ("event_only", "EVENT_ONLY"),
        ("SPAN_AND_EVENT", "SPAN_AND_EVENT"),
    ],
)
def test_the_content_switch_has_the_values_that_instrumentations_share(value: str, means: str) -> None:
    """The shared switch is read in any case, and in its older form."""
    assert load({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value}).capture_content == means
    assert load(capture_content=value).capture_content == means


def test_an_unknown_value_of_the_shared_content_switch_records_nothing() -> None:
    """Another package's value must not stop us; and in doubt no content is recorded."""
    settings = load({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "everything"})
    assert settings.capture_content == "NO_CONTENT"
    assert "is 'everything', which is none of" in settings.notices[0]
    assert "the argument capture_content is 'everything'" in problem({}, capture_content="everything")


def test_attribution_names_the_attributes_that_are_set() -> None:
    """The environment's defaults come as span attributes, and only those that are set."""
    settings = load({"OTEL_AGENTCOST_USER": "u1", "OTEL_AGENTCOST_TEAM": "search"}, conversation="c1")
    assert settings.attribution == {"user.id": "u1", "agentcost.team": "search", "gen_ai.conversation.id": "c1"}
    assert load().attribution == {}


def test_settings_cannot_be_changed() -> None:
    """One object for the whole process: nobody can change it under another's feet."""
    settings = load({"OTEL_AGENTCOST_TOOL_PRICES": "a=1"})
    with pytest.raises(FrozenInstanceError):
        settings.user = "u2"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        settings.tool_prices["a"] = Decimal(0)  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


@given(st.dictionaries(st.sampled_from([row.variable for row in ROWS if row.field != "config"]), st.text(max_size=40)))
def test_any_text_is_understood_or_explained(environ: dict[str, str]) -> None:
    """No value whatever leads to anything but settings, and a notice that names each variable that is ignored."""
    settings = load({name: value for name, value in environ.items() if name != "OTEL_AGENTCOST_STRICT"})
    for row in ROWS:
        if environ.get(row.variable, "").strip() and row.field not in {*settings.sources, "strict"}:
            assert any(notice.startswith(f"{row.variable} is ") for notice in settings.notices)


def test_the_table_covers_every_field() -> None:
    """Whatever a user can set has a row, with a sentence, and whatever has a row can be set."""
    derived = {"sources", "notices", "rules"}
    assert [row.field for row in ROWS] == [entry.name for entry in fields(Settings) if entry.name not in derived]
    assert all(row.meaning.endswith(".") and row.values for row in ROWS)


def test_the_page_of_settings_has_the_table() -> None:
    """The table of docs/settings.md is what `make docs` writes."""
    table = documents.block(documents.SETTINGS.read_text(encoding="utf-8"), "settings")
    assert table == documents.settings_table(), "run `make docs`"


def test_the_page_of_settings_shows_a_file_that_is_understood(tmp_path: Path) -> None:
    """Its example of a settings file opens, and sets what it names."""
    pytest.importorskip("yaml", reason="the extra `yaml` is not installed")
    (example,) = re.findall(r"```yaml\n(.*?)```", documents.SETTINGS.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "agentcost.yaml"
    file.write_text(example, encoding="utf-8")
    settings = from_environment({"OTEL_AGENTCOST_CONFIG": str(file)})
    assert (settings.rules[0].text, settings.on_exceed, settings.team) == ("trace:usd=0.5", "warn", "search")
    assert not settings.notices


def test_blocks_of_documents_are_replaced_and_nothing_else() -> None:
    """Only what stands between a block's marks is rewritten."""
    document = "a\n<!-- settings -->\nold\n<!-- /settings -->\nb\n"
    assert documents.with_block(document, "settings", "new\n") == document.replace("old", "new")
    assert documents.with_block(document, "other", "new\n") == document


def test_words_that_yaml_makes_truth_values_of_are_not_refused(tmp_path: Path) -> None:
    """`off` without quotes is False in YAML, and `on` is True."""
    assert load(written(tmp_path, "a.yaml", "upstream: off")).upstream == "off"
    assert load(written(tmp_path, "b.yaml", "upstream: on")).upstream == "on"
    assert "is False, which is none of allow and refuse" in problem(written(tmp_path, "c.yaml", "unpriced: off"))


@pytest.mark.parametrize("name", ["trace", "agentcost"])
def test_settings_below_another_key_are_not_passed_over(tmp_path: Path, name: str) -> None:
    """They limit nothing, and that is loud."""
    key = "budget_usd" if name == "trace" else "trace_budget_usd"
    said = problem(written(tmp_path, "settings.yaml", f"{name}:\n  {key}: 1"))
    assert "but settings stand at the top of the file, with their whole names; it is ignored. NO SUCH BUDGET" in said


def test_a_loop_rule_that_is_switched_off_is_not_switched_on(tmp_path: Path) -> None:
    """A mapping of rules to truth values is not a list of rules."""
    assert "which is not a list of rules" in problem(written(tmp_path, "a.yaml", "loop_rules: {repeat: false}"))
