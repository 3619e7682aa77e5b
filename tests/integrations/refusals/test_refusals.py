"""What an application sees of a refusal through the libraries that retry, fall back or wrap: docs/refusals.md.

Each library is run against a local model with a budget that nothing fits into. Its tests need it in their environment:
`make frameworks`.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.refusals.libraries import ROWS, Seen, haystack_generator, of, of_langchain_middleware
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
os.environ.update({"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_DISABLE_TRACKING": "true", "CREWAI_TESTING": "true"})
os.environ.update({"OPENAI_AGENTS_DISABLE_TRACING": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"})


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library keeps, it keeps for one test."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def installed(module: str) -> bool:
    """Whether a package is here, with its parents."""
    parts = module.split(".")
    return all(find_spec(".".join(parts[: n + 1])) is not None for n in range(len(parts)))


@pytest.mark.parametrize("way", ROWS)
def test_a_refused_call_is_not_sent_and_not_hidden(way: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """No request arrives however often the library asks again, and the refusal is in the exception that comes out."""
    row = ROWS[way]
    if not installed(row.package):
        pytest.skip(f"{row.package} is not here: `make frameworks`")
    hosts = to_hosts(f"{model_server.url.removeprefix('http://')}=openai")  # for clients of their own
    with budgeted(telemetry, budgets="process:usd=0.0000001", hosts=hosts), pytest.raises(Exception) as caught:
        row.call(f"{model_server.url}/v1")
    assert model_server.requests == []
    assert seen(caught.value, telemetry) == row.seen, repr(caught.value)


def seen(error: BaseException, telemetry: Telemetry) -> Seen:
    """What is seen of an exception."""
    refusal: BaseException | None = error
    while refusal is not None and not isinstance(refusal, BudgetExceeded):
        refusal = refusal.__cause__
    return Seen(
        type(error).__name__,
        int(telemetry.total("agentcost.budget.refusals")),
        wrapped=refusal is not None and refusal is not error,
        text="process:usd=0.0000001" in str(error),
    )


@pytest.mark.skipif(not installed("langchain"), reason="langchain is not here: `make frameworks`")
def test_a_middleware_may_make_a_refusal_the_answer(model_server: ModelServer, telemetry: Telemetry) -> None:
    """That of LangChain, unless it is told to raise the error."""
    with budgeted(telemetry, budgets="process:usd=0.0000001"):
        url = f"{model_server.url}/v1"
        ended = of_langchain_middleware(url, "ModelRetryMiddleware", max_retries=2, initial_delay=0, jitter=False)
    assert "process:usd=0.0000001" in ended["messages"][-1].content
    assert model_server.requests == []


@pytest.mark.skipif(not installed("haystack"), reason="haystack is not here: `make frameworks`")
def test_a_fallback_whose_last_generator_is_refused_names_the_refusal(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Its own exception says which ones have failed, and stays."""
    fallback = of("haystack.components.generators.chat").FallbackChatGenerator(
        [
            of("haystack.components.generators.chat").MockChatGenerator(response_fn=_fail),
            haystack_generator(f"{model_server.url}/v1"),
        ]
    )
    with (
        budgeted(telemetry, budgets="process:usd=0.0000001"),
        pytest.raises(RuntimeError, match="generators failed") as error,
    ):
        fallback.run([of("haystack.dataclasses").ChatMessage.from_user("Hi")])
    assert isinstance(error.value.__cause__, BudgetExceeded)


def _fail(*_: Any, **__: Any) -> Any:
    raise ValueError("no such model")
