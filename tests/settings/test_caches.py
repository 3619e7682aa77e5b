"""The settings of caches: the rules for tools, trusted servers, the store and its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_agentcost.core.tool_cache import Keep, ToolCacheRules
from otel_agentcost.errors import SettingsError
from otel_agentcost.savings import stores
from otel_agentcost.settings import Settings, from_environment
from otel_agentcost.settings.schemes import CACHE_STORES
from tests.settings.test_settings import load
from tests.support.plugin_distribution import PluginDistribution


def rules(written: str) -> ToolCacheRules:
    settings = from_environment({"OTEL_AGENTCOST_TOOL_CACHE": written})
    assert isinstance(settings.tool_cache, ToolCacheRules)
    return settings.tool_cache


def test_each_is_read_from_its_variable() -> None:
    """Each variable of the caches lands in its field, parsed."""
    settings = from_environment(
        {
            "OTEL_AGENTCOST_TOOL_CACHE": " web_search=15m, read_*=1h/user, log=Off,auto",
            "OTEL_AGENTCOST_TOOL_CACHE_SERVERS": "docs, weather,",
            "OTEL_AGENTCOST_CACHE_STORE": " redis://host/0 ",
            "OTEL_AGENTCOST_CACHE_KEY": "file:/run/key",
        }
    )
    assert settings == Settings(
        tool_cache={"web_search": "15m", "read_*": "1h/user", "log": "off", "auto": "5m"},
        tool_cache_servers=("docs", "weather"),
        cache_store="redis://host/0",
        cache_key="file:/run/key",
    )
    assert not settings.notices


def test_names_win_over_patterns() -> None:
    """The exact name counts, else the longest pattern; `off` takes a tool out of a pattern."""
    found = rules("read_*=1h, read_log=off, read_page=30s/run, *=1d/process")
    assert found.find("read_mail") == Keep(3600)
    assert found.find("read_log") == Keep(0)
    assert found.find("read_page") == Keep(30, "run")
    assert found.find("other") == Keep(86400, "process")
    assert found.auto is None
    assert str(found) == "read_*=1h, read_log=off, read_page=30s/run, *=1d/process"


def test_auto_and_off() -> None:
    """`auto` has a time of its own, and `off` alone turns everything off."""
    assert rules("auto").auto == Keep(300)
    assert rules("auto=10m/user").auto == Keep(600, "user")
    assert rules("auto=off").auto is None
    assert rules("off").off
    assert not rules("").off
    assert not Settings().tool_cache


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("search", "does not have the form tool=time"),
        ("search=soon", "'soon' is not a time from 1s to 7d: write 30s, 15m, 1h, 15m/user or off"),
        ("search=0s", "'0s' is not a time"),
        ("search=8d", "'8d' is not a time"),
        ("search=15m/tenants", "'tenants' is none of tenant, user, run, process; did you mean tenant?"),
        ("search=1m,search=2m", "has two times for search"),
    ],
)
def test_what_cannot_be_understood(written: str, said: str) -> None:
    """A rule that is no rule is named, and turns off no other."""
    settings = from_environment({"OTEL_AGENTCOST_TOOL_CACHE": f"{written},read=1m"})
    (notice,) = settings.notices
    assert said in notice
    assert list(settings.tool_cache) == ["read"]
    with pytest.raises(SettingsError):
        Settings(tool_cache=f"{written},read=1m")


@pytest.mark.parametrize("url", ["cache.db", "redis:host", "u:s3cret@host", "postgres://u:s3cret@host/db"])
def test_a_store_is_a_url(url: str) -> None:
    """What is no URL of a store is ignored; with `strict` the program does not start. A password is not shown."""
    settings = from_environment({"OTEL_AGENTCOST_CACHE_STORE": url})
    (notice,) = settings.notices
    assert "which is not a store: write memory://" in notice
    assert "s3cret" not in notice
    assert settings.cache_store == "memory://"
    with pytest.raises(SettingsError) as raised:
        load({"OTEL_AGENTCOST_CACHE_STORE": url, "OTEL_AGENTCOST_STRICT": "true"})
    assert "s3cret" not in str(raised.value)


def test_a_store_of_another_distribution_is_known(tmp_path: Path) -> None:
    """By its entry point, which is not loaded."""
    entries = {"otel_agentcost.cache_stores": {"elsewhere": "no_such_module_of_a_store:open_store"}}
    script = (
        "from otel_agentcost.settings import from_environment;"
        "variables = {'OTEL_AGENTCOST_CACHE_STORE': 'Elsewhere://x', 'OTEL_AGENTCOST_STRICT': 'true'};"
        "print(from_environment(variables).cache_store)"
    )
    assert PluginDistribution(tmp_path, "elsewhere-cache", {}, entries).run(script).stdout == "Elsewhere://x\n"


def test_the_schemes_are_those_that_can_be_opened() -> None:
    """Two rooms list one folder."""
    assert CACHE_STORES.built_in == stores.SCHEMES.built_in
