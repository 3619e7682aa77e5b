"""The command line: how commands are found, how they end, and what the doctor sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_agentcost import cli
from otel_agentcost._version import __version__
from otel_agentcost.cli import main
from otel_agentcost.integrations import sdks
from tests.support.plugin_distribution import PluginDistribution
from tools import documents

BIN = Path(sys.executable).parent

TOY = """
from otel_agentcost.errors import AgentCostError

def add_parser(subparsers):
    parser = subparsers.add_parser("toy", help="a toy")
    parser.add_argument("what")
    parser.set_defaults(run=run)

def run(arguments):
    if arguments.what == "ours":
        raise AgentCostError("The toy is broken.")
    if arguments.what == "system":
        open("/nowhere/at/all")
    if arguments.what == "stop":
        raise KeyboardInterrupt
    print("x" * 100_000)
    return 3
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more command: a file that lies in the commands' folder."""
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "otel_agentcost.cli.toy", raising=False)


def run(*command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["doctor", "--no-imports"])
    return code, capsys.readouterr().out


@pytest.mark.usefixtures("toy")
def test_a_file_in_the_folder_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command is added by adding its file; `--help` lists it, and its exit code is the program's."""
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"\n    {command} " in listed for command in ("toy", "demo", "doctor"))
    assert main(["toy", "fine"]) == 3


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("ours", 2, "agentcost toy: The toy is broken.\n"),
        ("system", 2, "agentcost toy: [Errno 2] No such file or directory: '/nowhere/at/all'\n"),
        ("stop", 130, ""),
    ],
)
def test_what_goes_wrong_is_one_sentence(what: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for a mistake of the user's: one sentence on stderr and exit code 2."""
    assert main(["toy", what]) == code
    assert capsys.readouterr().err == said


def test_misuse_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """No command at all shows the help; an unknown one is refused by name."""
    assert main([]) == 2
    assert "doctor" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main(["nonsense"])
    assert left.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_help_is_written_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """Help texts of commands and options are sentences, except for the text of `-h`, which is argparse's own."""
    commands = [[], ["demo"], ["doctor"], ["prices"], *(["prices", name] for name in ("show", "check", "diff", "sync"))]
    for command in commands:
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        lines = capsys.readouterr().out.splitlines()
        described = [re.split(r"\s{2,}", line.strip(), maxsplit=1)[-1] for line in lines if re.match(r" +-\S", line)]
        described.remove("show this help message and exit")
        assert all(text[0].isupper() for text in described if text[0] != "-"), described
        paragraph = " ".join(lines).split("options:")[0]
        assert re.search(r"[A-Z][^.]+\.\s", paragraph), paragraph


def test_the_installed_command_tells_its_version() -> None:
    """`agentcost --version` works as installed."""
    assert run(str(BIN / "agentcost"), "--version").stdout == f"otel-agentcost {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    """The command line is quick to start: SDKs, YAML, rich and the other extras stay out."""
    code = """
import sys
from otel_agentcost.cli import main
try:
    main(["--help"])
except SystemExit:
    heavy = {"openai", "anthropic", "google.genai", "yaml", "rich", "tiktoken", "redis", "genai_prices", "httpx"}
    print("HEAVY", sorted(heavy & set(sys.modules)))
"""
    assert run(sys.executable, "-c", code).stdout.endswith("HEAVY []\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """`agentcost ... | head -1` ends quietly."""
    process = subprocess.Popen(
        [str(BIN / "agentcost"), "doctor", "--no-imports"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


def test_the_doctor_reports_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    """Defaults, the price book with its date, each SDK with its version: nothing to complain of, exit code 0."""
    code = main(["doctor"])
    report = capsys.readouterr().out
    assert code == 0, report
    assert "all defaults" in report
    assert "genai-prices " in report
    for distribution in ("openai", "anthropic", "google-genai"):
        lines = [line.split(": ", 1)[1] for line in report.splitlines() if line.startswith(f"  {distribution} ")]
        measured = [line.partition(" (tested: ")[0] for line in lines]
        assert measured == ["every call is measured", "every tool call is a span"]
        assert all(re.search(r"\(tested: [\d.]+ to [\d.]+\)$", line) for line in lines), lines
    assert "\n!" not in report


def test_the_doctor_shows_settings_with_their_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each setting that is set is shown as it was understood, and where it came from."""
    file = tmp_path / "settings.json"
    file.write_text('{"team": "search"}', encoding="utf-8")
    monkeypatch.setenv("OTEL_AGENTCOST_CONFIG", str(file))
    monkeypatch.setenv("OTEL_AGENTCOST_TOOL_PRICES", "web_search=0.005")
    code, report = doctor(capsys)
    assert code == 0
    assert "web_search $0.005 (environment)" in report
    assert f"search ({file})" in report


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_AGENTCOST_ENABLED", "maybe", "OTEL_AGENTCOST_ENABLED is 'maybe', which is neither true nor false."),
        ("OTEL_AGENTCOST_ENABLED", "false", "no SDK is patched"),
        ("OTEL_AGENTCOST_TRACE_BUDGET_USD", "-1", "NO BUDGET IS ENFORCED"),
        ("OTEL_AGENTCOST_TRACE_BUDGET", "1", "NO SUCH BUDGET IS ENFORCED"),
        ("OTEL_AGENTCOST_PRICES", "/nowhere/prices.yaml", "/nowhere/prices.yaml"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "redis, agentcost", "redis, agentcost (nothing is measured)"),
        ("OTEL_SDK_DISABLED", "true", "true (nothing is measured)"),
    ],
)
def test_the_doctor_marks_what_needs_attention(
    variable: str, value: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps calls from being measured as meant is marked, and the exit code is 1."""
    monkeypatch.setenv(variable, value)
    code, report = doctor(capsys)
    assert code == 1
    assert any(said in line for line in report.splitlines() if line.startswith("!")), report


TOY_SDK = """
from otel_agentcost.integrations.sdks import Patchable, Sdk, Target

def patch(module, owner, method, **more):
    return Patchable(target=Target(module=module, owner=owner, method=method, **more), seam=None)

SDK = Sdk(name="toy", distribution="pytest", patches=(
    patch("json", "JSONEncoder", "nope"),
    patch("json", "Nobody", lambda owner: "encode"),
    patch("json", "JSONDecoder", "nope", optional=True),
    patch("json", "JSONDecoder", lambda owner: "decode"),
    patch("json", "JSONEncoder", "encode", reads=("what",)),
    patch("json.no_such_module", "JSONDecoder", "decode"),
))
DEADLY = Sdk(name="deadly", distribution="toy-plugin", patches=(patch("deadly", "Client", "send"),))
ABSENT = Sdk(name="absent", distribution="no-such-sdk", patches=())
"""


def test_the_doctor_names_what_it_can_t_patch_and_survives_it(tmp_path: Path) -> None:
    """Each fault is named with the release, also of a package that ends the process; the others are checked."""
    plugin = PluginDistribution(
        tmp_path,
        "toy_plugin",
        {"toy_sdk": TOY_SDK, "deadly": "import os\nos._exit(3)"},
        {"otel_agentcost.sdks": {name: f"toy_sdk:{name}" for name in ("DEADLY", "SDK", "ABSENT")}},
    )
    script = (
        "import sys; from otel_agentcost.cli import main; code = main(['doctor']); print('code', code, *sys.modules)"
    )
    report = plugin.run(script).stdout
    assert "\ncode 1 " in report
    assert " openai" not in report.partition("\ncode 1 ")[2]  # nothing is imported into the doctor's own process
    (line,) = (line for line in report.splitlines() if line.startswith("! pytest "))
    assert "json.JSONEncoder.nope does not exist; json.Nobody does not exist; json.JSONEncoder.encode has no" in line
    assert "json.no_such_module (ModuleNotFoundError: " in line
    assert "JSONDecoder" not in line
    (line,) = (line for line in report.splitlines() if line.startswith("! toy-plugin "))
    assert "1.0: importing it ends the process (exit code 3): calls through this are not measured" in line
    (line,) = (line for line in report.splitlines() if line.startswith("  no-such-sdk "))
    assert line.endswith("not installed")


def test_the_doctor_names_a_package_that_is_there_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Which of two releases is imported depends on the path."""
    metadata = tmp_path / "openai-999.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: openai\nVersion: 999.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    code, report = doctor(capsys)
    assert code == 1
    lines = [line for line in report.splitlines() if line.startswith("! openai ")]
    assert "is installed too. Which one is imported depends on sys.path: remove one" in lines[0]


@pytest.mark.parametrize(
    ("distribution", "older", "oldest"),
    [("openai", "1.65.5", "1.66"), ("anthropic", "0.50.0", "0.51"), ("google-genai", "1.9.0", "1.32")],
)
def test_the_doctor_does_not_vouch_for_untested_versions(
    distribution: str,
    older: str,
    oldest: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An SDK older than the supported range may well work, but nothing is promised: it is marked."""
    metadata = tmp_path / f"{distribution.replace('-', '_')}-{older}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {older}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    code, report = doctor(capsys)
    assert code == 1
    lines = [line for line in report.splitlines() if line[2:].startswith(f"{distribution} ")]
    assert lines[0].startswith("! ")
    assert lines[0].endswith(f"{older}: older than {oldest}, not tested")
    if distribution != "google-genai":  # the SDK's functions to run tools came later, and nothing is missed without
        assert lines[1].startswith("  ")
        assert lines[1].endswith(f"{older}: does not call tools itself")


def test_the_oldest_tested_versions_are_those_of_the_package() -> None:
    """What an SDK's module calls its oldest release is what the extra `demo` asks for."""
    written = (documents.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extra,) = (line for line in written.splitlines() if line.startswith("demo = "))
    oldest = {sdk.distribution: sdk.oldest for sdk in sdks.discover()}
    for name in ("openai", "anthropic", "google-genai"):
        assert f'"{name}>={oldest[name]}"' in extra


def test_the_doctor_sees_what_the_launcher_sets_up(tmp_path: Path) -> None:
    """Started by the launcher, it tells where an application's spans would go, and hides a password."""
    ended = subprocess.run(
        [
            str(BIN / "opentelemetry-instrument"),
            *("--traces_exporter", "console", "--metrics_exporter", "none", "--logs_exporter", "none"),
            *("--exporter_otlp_endpoint", "http://me:s3cret@localhost:4318"),
            *(str(BIN / "agentcost"), "doctor", "--no-imports"),
        ],
        env={**os.environ, "OTEL_AGENTCOST_USER": "u1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "(ConsoleSpanExporter)" in ended.stdout, ended.stderr
    assert "u1 (environment)" in ended.stdout
    assert "http://***@localhost:4318" in ended.stdout
    assert ended.returncode == 0
