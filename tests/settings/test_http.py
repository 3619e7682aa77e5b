"""The settings of the net below the SDKs: a switch, and own hosts."""

from __future__ import annotations

import pytest

from otel_agentcost.settings.hosts import OwnHost
from tests.settings.test_settings import load, problem


def test_both_settings_are_read() -> None:
    """From the environment and from code."""
    assert load().http == "on"
    settings = load({"OTEL_AGENTCOST_HTTP": "false", "OTEL_AGENTCOST_HOSTS": "llm.internal=openai, a.b:8000/v2=Groq,"})
    assert settings.http == "off"
    assert settings.hosts == (OwnHost("llm.internal", None, "", "openai"), OwnHost("a.b", 8000, "/v2", "groq"))
    assert load(http=False, hosts=settings.hosts) == load(http="off", hosts=[*map(str, settings.hosts)])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HTTP", "of", "which is neither on nor off; did you mean off?"),
        ("HOSTS", "llm.internal", "where 'llm.internal' names no provider: write host[:port][/path]=provider, such as"),
        ("HOSTS", "llm.internal=", "has nothing after the =: write llm.internal=openai"),
        ("HOSTS", "=openai", "where '=openai' names no provider"),
        ("HOSTS", "llm.internal=open ai", "where 'open ai' is not the name of a provider"),
        ("HOSTS", "*.internal=openai", "has a *: a host covers the hosts below it, write internal"),
        ("HOSTS", "llm.internal:80000=openai", "where 'llm.internal:80000' is not an address"),
        ("HOSTS", "ftp://llm.internal=openai", "is not an address of http or https"),
        ("HOSTS", "llm.internal/v1?x=1=openai", "has more than a host, a port and a path"),
        ("HOSTS", "llm.internal=openai,llm.internal=anthropic", "which has two providers for llm.internal"),
    ],
)
def test_what_is_unclear_about_the_http_net_is_quoted(name: str, value: str, said: str) -> None:
    """With what to write instead."""
    assert said in problem({f"OTEL_AGENTCOST_{name}": value})


def test_a_host_that_is_unclear_takes_no_other_with_it() -> None:
    """As every list of settings."""
    settings = load({"OTEL_AGENTCOST_HOSTS": "llm.internal,https://gateway.acme.com:8443/llm/=openai,[::1]:80=ollama"})
    assert sorted(map(str, settings.hosts)) == ["[::1]:80=ollama", "gateway.acme.com:8443/llm=openai"]


def test_the_narrower_rule_of_a_host_decides() -> None:
    """The longer host, then the port, then the longer path."""
    hosts = load(hosts={"acme.com": "openai", "acme.com:80/b": "groq", "acme.com:80/a": "cohere"}).hosts
    found = {
        place: next((rule.provider for rule in hosts if rule.covers(*place)), None)
        for place in [
            ("acme.com", 80, "/a/x"),
            ("acme.com", 80, "/b"),
            ("acme.com", 80, "/bx"),
            ("x.acme.com", 1, ""),
            ("xacme.com", 1, ""),
        ]
    }
    assert list(found.values()) == ["cohere", "groq", "openai", "openai", None]
