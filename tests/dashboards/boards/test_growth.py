"""How the boards count what grew, by Prometheus itself: `promtool test rules` of the boards' own PromQL."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from grafana.boards.queries import growth

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on the path: apt install prometheus")


def check(tmp_path: Path, series: dict[str, str], query: str, at: str, expected: float | None) -> None:
    """`query` is `expected` at a time, or nothing, with samples a minute apart."""
    samples = [{"labels": "{}", "value": expected}] if expected is not None else []
    tests = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": said} for name, said in series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": samples}],
            }
        ],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps(tests), encoding="utf-8")  # JSON is YAML
    assert PROMTOOL is not None
    ended = subprocess.run([PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def total(series: str, window: str, ago: str = "") -> str:
    return f"sum ({growth(series, window, ago)})"


def test_a_series_that_is_born_with_a_value_keeps_it(tmp_path: Path) -> None:
    """5 dollars that brought a series into being are 5 dollars; Prometheus' own increase says 0."""
    born = {'x{model="m"}': "_x120 5x60"}
    check(tmp_path, born, total("x", "2h"), "3h", 5)
    check(tmp_path, born, "sum (increase(x[2h]))", "3h", 0)


def test_one_sample_is_enough(tmp_path: Path) -> None:
    """A series that was seen once, just now, counts."""
    check(tmp_path, {'x{model="m"}': "_x180 5"}, total("x", "1h"), "181m", 5)


def test_what_was_there_before_is_not_counted_again(tmp_path: Path) -> None:
    """A counter that stands still has grown by nothing, however large it is."""
    check(tmp_path, {'x{model="m"}': "1000x300"}, total("x", "1h"), "4h", 0)


def test_a_gap_between_scrapes_is_no_birth(tmp_path: Path) -> None:
    """Where no sample was taken just when the window began, the counter's whole past is not counted into it."""
    check(tmp_path, {'x{model="m"}': "1000x110 _x20 1000x200"}, total("x", "1h"), "3h", 0)


def test_new_and_old_series_are_one_sum(tmp_path: Path) -> None:
    """An old series that stands still and a new one add up to what the new one has."""
    series = {'x{model="old"}': "1000x300", 'x{model="new"}': "_x200 7x100"}
    check(tmp_path, series, total("x", "2h"), "5h", 7)


def test_what_grew_a_week_ago_is_found(tmp_path: Path) -> None:
    """With `ago`, the window is the same stretch of an earlier time, births included."""
    series = {'x{model="m"}': "_x60 3x1600"}
    check(tmp_path, series, total("x", "1h", "1d"), "1500m", 3)
    check(tmp_path, series, total("x", "1h"), "1500m", 0)


def test_a_counter_that_begins_again_loses_nothing_of_what_followed(tmp_path: Path) -> None:
    """A process that restarts counts from 0: what it counts after that is growth."""
    check(tmp_path, {'x{model="m"}': "100x120 0 4x59"}, total("x", "1h"), "3h", 4)
