"""Instructor: it asks again when an answer does not fit its schema, and wraps what was raised in the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.calls.budgets.frameworks.endless_agent import ATTEMPTS, Budgeted, spending
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

instructor: Any = pytest.importorskip("instructor", reason="instructor is not installed: `make neighbours` installs it")
tenacity: Any = pytest.importorskip("tenacity", reason="tenacity is not installed: `make neighbours` installs it")

pytestmark = pytest.mark.filterwarnings("default")  # what frameworks warn of is not what these tests are about

ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}


class Found(BaseModel):
    """What no answer of the server's ever fits."""

    answer: int


@pytest.fixture
def scene(telemetry: Telemetry, model_server: ModelServer) -> Iterator[Budgeted]:
    """A budget over everything."""
    with spending(telemetry, model_server) as made:
        yield made


@pytest.mark.parametrize("attempts", ["default", "any exception"])
def test_an_answer_that_never_fits(scene: Budgeted, attempts: str) -> None:
    """Asked again and again, it spends until the budget is used up; then the refusal is in what is raised."""
    insistent = tenacity.Retrying(stop=tenacity.stop_after_attempt(50), retry=tenacity.retry_if_exception_type())
    retries = {"default": ATTEMPTS, "any exception": insistent}[attempts]
    client = instructor.from_openai(OpenAI(base_url=scene.url, api_key="none", max_retries=ATTEMPTS))

    def ask() -> object:
        return client.chat.completions.create(**ASK, response_model=Found, max_retries=retries)

    scene.use_up(ask)
    scene.stays_refused(ask)


def test_an_asynchronous_client(scene: Budgeted) -> None:
    """The same for awaited calls."""
    client = instructor.from_openai(scene.openai())

    def ask() -> object:
        return scene.run(client.chat.completions.create(**ASK, response_model=Found, max_retries=ATTEMPTS))

    scene.use_up(ask)
    scene.stays_refused(ask)
