"""`agentcost prices show|check|diff|sync`: what people read, and the exit codes that scripts do."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.pricebook import BUNDLED, open_book
from tests.pricebook import genai_prices_models


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["prices", *arguments])
    streams = capsys.readouterr()
    return code, streams.out + streams.err


def test_show_tells_the_price_and_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    """Prices with their units, tiers, other terms, whose they are, and who else sells the model."""
    code, shown = run(capsys, "show", "claude-sonnet-4-5-20250929", "--at", "2026-11-18")
    assert code == 0
    assert shown.startswith(f"anthropic/claude-sonnet-4-5  ({open_book().source}, billed by anthropic)\n")
    assert "on 2026-11-18 00:00 UTC:" in shown
    assert "input_mtok           $3 ($6 above 200,000 input tokens) per million tokens" in shown
    assert "web_searches_kcount  $10 per thousand" in shown
    assert "processing=batch, from 2026-10-14: input_mtok $1.5" in shown
    assert "also sold by: aws, azure, google" in shown


def test_show_applies_terms_and_dates(capsys: pytest.CaptureFixture[str]) -> None:
    """The same model with another tier or on another day shows the price that holds then."""
    _, shown = run(capsys, "show", "gpt-4o", "--terms", "service_tier=priority", "--at", "2026-11-18T12:00")
    assert "input_mtok               $4.25 per million tokens" in shown
    _, shown = run(capsys, "show", "gpt-4o", "--at", "2026-01-01")
    assert "input_mtok               $2.5 per million tokens" in shown
    _, shown = run(capsys, "show", "deepseek-chat", "--provider", "deepseek", "--at", "2025-03-01T02:00")
    assert "every day 00:30 to 16:30 UTC: input_mtok $0.27" in shown


def test_show_says_why_there_is_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown model is unpriced, with exit code 1 and who knows the name."""
    code, shown = run(capsys, "show", "amazon.nova-lite-v1:0", "--provider", "openai")
    assert code == 1
    assert "Unpriced: no price for 'amazon.nova-lite-v1:0' of openai" in shown
    assert "The name has a price at: aws (try --provider aws)." in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gpt-4oo"], "Did you mean gpt-4o, "),
        (
            ["gpt-4o", "--provider", "nosuch"],
            "The price book has no provider 'nosuch'.\nThe name has a price at: openai",
        ),
        (["gpt-4o", "--provider", "opnai"], "Did you mean --provider openai?"),
        (["nobodys", "--provider", "nosuch"], "It has: anthropic, "),
        (["claud-sonnet-4-5"], "Did you mean claude-sonnet-4-5, "),
        (
            ["claude-sonnet-4-5", "--provider", "aws"],
            "Did you mean global.anthropic.claude-sonnet-4-5-20250929-v1:0 or ",
        ),
        (["claude-sonnet-4-5", "--provider", "aws"], "(try --provider anthropic)"),
        (["gpt-4o", "--provider", "opennai"], "(try --provider openai)"),
        (["zzz"], "no price for 'zzz': the call names no provider; "),
    ],
)
def test_show_suggests_what_may_have_been_meant(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A name that nobody has brings the nearest names, one that others have its maker; never a list of everybody."""
    code, shown = run(capsys, "show", *arguments)
    assert code == 1
    assert said in shown
    assert len(shown) < 400


def test_show_finds_own_models_whoever_the_provider_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A model of no provider in particular has its price without a provider and with any; a near name suggests it."""
    file = tmp_path / "own.json"
    file.write_text('{"models": {"house-model": {"input_mtok": 0.5}, "other": {"alias": "openai/gpt-4o"}}}')
    for provider in ([], ["--provider", "openai"], ["--provider", "nobody"], ["--base-url", "http://gateway"]):
        code, shown = run(capsys, "show", "house-model", "--prices", str(file), *provider)
        assert code == 0
        assert "input_mtok  $0.5 per million tokens" in shown
        assert "also sold by" not in shown
    assert "$2.5 per" in run(capsys, "show", "other", "--prices", str(file))[1]
    code, shown = run(capsys, "show", "house-modle", "--prices", str(file))
    assert (code, "Did you mean house-model?" in shown) == (1, True)


@pytest.mark.parametrize("at", ["2026-11-18", "2026-01-01"])
def test_show_refuses_a_tier_without_a_price(capsys: pytest.CaptureFixture[str], at: str) -> None:
    """A tier that has no price (by that name, or by then) is not shown at the standard one; the known ones are told."""
    tier = "prioritty" if at == "2026-11-18" else "priority"
    code, shown = run(capsys, "show", "gpt-4o", "--terms", f"service_tier={tier}", "--at", at)
    assert code == 1
    assert f"Unpriced: the price book has no price of openai/gpt-4o for service_tier '{tier}'; add one" in shown
    assert "    service_tier=priority, from 2026-10-12: input_mtok $4.25" in shown


def test_show_tells_what_terms_do_beside_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A surcharge is told, and a term that sets no price is not passed over in silence."""
    code, shown = run(capsys, "show", "claude-opus-4-6", "--terms", "inference_geo=us")
    assert (code, "    all tokens at 1.1 times these prices\n" in shown) == (0, True)
    code, shown = run(capsys, "show", "gpt-4o", "--terms", "servce_tier=flex", "--terms", "service_tier=default")
    assert code == 0
    assert "    (servce_tier=flex is not a term of these prices and has no effect)\n" in shown
    assert "(service_tier=default" not in shown


def test_show_tells_the_uplift_of_a_region(capsys: pytest.CaptureFixture[str]) -> None:
    """The factor where it applies, its rule where it does not, and the reason where no price is known."""
    code, shown = run(capsys, "show", "gpt-5.4", "--provider", "openai", "--base-url", "https://eu.api.openai.com/v1")
    assert (code, "    all tokens at 1.1 times these prices\n" in shown) == (0, True)
    code, shown = run(capsys, "show", "gpt-5.4", "--provider", "openai")
    assert (code, "    all tokens at 1.1 times these prices\n" in shown) == (0, False)
    assert "    ??.api.openai.com: all tokens at 1.1 times these prices\n" in shown
    iowa = "https://us-central1-aiplatform.googleapis.com"
    code, shown = run(capsys, "show", "gemini-4-argon", "--base-url", iowa)
    assert code == 1
    assert "at us-central1-aiplatform.googleapis.com differs from the standard price and is not known" in shown
    assert "another price, which is not known: calls are unpriced" in shown


def test_show_tells_the_days_of_a_price(capsys: pytest.CaptureFixture[str]) -> None:
    """The day of the week that the price is for, and the days on which other prices hold."""
    code, shown = run(capsys, "show", "deepseek-v4-pro", "--at", "2026-11-28T02:00")
    assert (code, "on 2026-11-28 02:00 UTC (Saturday):" in shown) == (0, True)
    assert "    input_mtok       $0.66 per million tokens\n" in shown
    assert "    from 2026-08-17, Monday to Friday 01:00 to 04:00 UTC, not on 2026-09-25, 2026-10-01 to" in shown


def test_show_has_a_description_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """`prices show --help` says what it does and how it is called, and the example works."""
    with pytest.raises(SystemExit):
        main(["prices", "show", "--help"])
    shown = capsys.readouterr().out
    assert "Show the prices of a model and the rule that they come from" in shown
    example = shown.partition("Example: agentcost prices ")[2].split()
    assert run(capsys, *example)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "gpt-4o", "--at", "tomorrow"], "--at is 'tomorrow'"),
        (
            ["show", "gpt-4o", "--terms", "flex"],
            "--terms is 'flex', which is not KEY=VALUE, such as service_tier=flex.",
        ),
        (["check", "/nowhere/prices.yaml"], "/nowhere/prices.yaml: it cannot be read"),
        (["diff", __file__], f"{__file__} is not a price book"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A mistake in an argument or a file is quoted, with exit code 2."""
    code, shown = run(capsys, *arguments)
    assert code == 2
    assert shown.startswith("agentcost prices: ")
    assert said in shown


def test_check_names_each_bad_row_and_shows_the_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each mistake is one line, the readable rows are shown as ever, and the exit code is 1."""
    file = tmp_path / "own.yaml"
    file.write_text("models: {a: {input_mtok: much}, b: {input_mtok: 2}, c: {input: 1}}", encoding="utf-8")
    code, shown = run(capsys, "check", str(file))
    assert code == 1
    first, *lines = shown.splitlines()
    assert first.startswith(f"{file} can be used except for 2 rows: 1 model. ")
    assert lines[0].startswith(
        f"! {file}: model a: input_mtok is 'much', which is not an amount of dollars. Calls of a "
    )
    assert lines[1].startswith(f"! {file}: model c: 'input' is not a price key")
    assert lines[2].startswith("  b: ")
    assert len(lines) == 3


def test_check_and_show_read_own_prices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` repeats what it understood, and `show` uses the file that the environment names."""
    file = tmp_path / "own.yaml"
    file.write_text(
        "providers: {openai: {models: {gpt-4o: {input_mtok: 2, output_mtok: 8}, alias-of: {alias: gpt-4o}}}}"
    )
    code, shown = run(capsys, "check", str(file))
    assert code == 0
    assert f"{file} can be used: 2 models" in shown
    assert "  openai/gpt-4o: input_mtok $2, output_mtok $8\n" in shown
    assert "  openai/alias-of: priced as gpt-4o\n" in shown
    monkeypatch.setenv("OTEL_AGENTCOST_PRICES", str(file))
    _, shown = run(capsys, "show", "gpt-4o")
    assert "openai/gpt-4o  (price file, billed by openai)" in shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "own.yaml can be used, but has no prices. All prices: genai-prices"),
        ("models: {m: free}", "own.yaml can be used: 1 model. Other prices: genai-prices"),
        (
            "providers: {opennai: {models: {m: free}}}",
            "! provider opennai is not in the book and has no base_url; did you mean openai?\n",
        ),
        (
            "providers: {acme: {like: openai}}",
            "! provider acme is not in the book and has no base_url: add the base URL of its calls.\n",
        ),
    ],
)
def test_check_says_what_a_file_comes_to(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, said: str
) -> None:
    """A file without prices and a provider that no call can be recognized as are told; neither is a mistake."""
    file = tmp_path / "own.yaml"
    file.write_text(content, encoding="utf-8")
    code, shown = run(capsys, "check", str(file))
    assert code == 0
    assert said in shown


def test_check_accepts_providers_that_calls_reach(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A provider of the book by any of its names, and one with an address, need no warning."""
    file = tmp_path / "own.yaml"
    file.write_text("providers: {bedrock: {models: {m: free}}, acme: {base_url: 'http://acme'}}", encoding="utf-8")
    assert "!" not in run(capsys, "check", str(file))[1]


def test_diff_prints_a_screenful(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Many differences are cut at 20 lines and counted; `--all` prints every one."""
    other = tmp_path / "other.jsonl"
    changed = BUNDLED.read_text(encoding="utf-8").replace('"input_mtok":"2.5"', '"input_mtok":"2.7"')
    other.write_text(changed, encoding="utf-8")
    code, shown = run(capsys, "diff", str(BUNDLED), str(other))
    head, *lines, last = shown.splitlines()
    count = int(head.split(": ")[1].removesuffix(" differences"))
    assert (code, len(lines)) == (1, 20)
    assert last == f"... and {count - 20} more (--all shows them)"
    code, shown = run(capsys, "diff", "--all", str(BUNDLED), str(other))
    assert len(shown.splitlines()) == count + 1


def test_diff_tells_what_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Changed, new and gone models are one line each; the exit code is 1 where there are any."""
    assert run(capsys, "diff", str(BUNDLED), str(BUNDLED))[0] == 0
    other = tmp_path / "other.jsonl"
    text = BUNDLED.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if '"id":"davinci-002"' in line)
    same_length = line.replace('"id":"davinci-002"', '"id":"davinci-003"')
    dearer = next(line for line in text.splitlines() if line.startswith('{"id":"gpt-4o",') and '"2.5"' in line)
    other.write_text(
        text.replace(line, same_length).replace(dearer, dearer.replace('"input_mtok":"2.5"', '"input_mtok":"2.7"')),
        encoding="utf-8",
    )
    code, shown = run(capsys, "diff", str(BUNDLED), str(other))
    assert code == 1
    assert "~ openai/gpt-4o: input_mtok 2.5 -> 2.7\n" in shown
    assert "- openai/davinci-002\n" in shown
    assert "+ openai/davinci-003: input_mtok" in shown


@genai_prices_models.needs_library
def test_sync_compiles_the_installed_library(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The installed genai-prices becomes a book that opens, differs in nothing, and says how to use it."""
    target = tmp_path / "book.jsonl"
    code, shown = run(capsys, "sync", str(target))
    assert code == 0
    assert f"OTEL_AGENTCOST_PRICES={target}" in shown
    assert [file.name for file in tmp_path.iterdir()] == ["book.jsonl"]
    assert run(capsys, "check", str(target))[1].startswith(f"{target} is a price book")
    assert run(capsys, "diff", str(target))[0] == 0


@genai_prices_models.needs_library
def test_sync_does_not_go_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Newer prices are not replaced by older ones, nor another file by prices, unless someone insists."""
    target = tmp_path / "book.jsonl"
    newer = BUNDLED.read_text(encoding="utf-8").replace('"version":"', '"version":"9.', 1)
    for content, said in ((newer, f"is older than {target} (9."), ("models: {m: free}", "is not a price book (")):
        target.write_text(content, encoding="utf-8")
        code, shown = run(capsys, "sync", str(target))
        assert code == 2
        assert said in shown
        assert "--force" in shown
        assert target.read_text(encoding="utf-8") == content
        assert run(capsys, "sync", "--force", str(target))[0] == 0
        assert run(capsys, "diff", str(target))[0] == 0
