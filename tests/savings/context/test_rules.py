"""What may take the place of a history: what a provider refuses is not sent."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost.wire import load
from otel_agentcost.wire.history import CannotReplace, History, history_of, sources_of
from tests.savings.context.histories import plain

LONG = plain("user", "long " * 500)
SHORT, QUESTION = plain("user", "s"), plain("user", "q")
MESSAGES, RESPONSES, CHAT = "anthropic_messages", "openai_responses", "openai_chat"


def history(form: str, *messages: Any) -> History:
    found = history_of(load(form), {"input" if form == RESPONSES else "messages": list(messages)})
    assert found is not None
    return found


def of_model(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


USE = {"type": "tool_use", "id": "t1", "name": "x", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "deep", "signature": "sig"}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}]}
SERVER_USE = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
SERVER_RESULT = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
STEP = of_model(THOUGHT, USE)
SAID = of_model({"type": "text", "text": "a"})
WITH_USE: list[Any] = [LONG, STEP, RESULT, SAID, QUESTION]

REFUSED: dict[str, tuple[str, list[Any], list[Any]]] = {
    "reasoning removed before a call": (MESSAGES, [LONG, STEP, RESULT], [SHORT, of_model(USE), RESULT]),
    "reasoning changed": (MESSAGES, WITH_USE, [SHORT, of_model({**THOUGHT, "thinking": "d"}, USE), *WITH_USE[2:]]),
    "an empty text": (MESSAGES, WITH_USE, [plain("user", ""), QUESTION]),
    "no content": (MESSAGES, WITH_USE, [{"role": "user", "content": []}, QUESTION]),
    "a call of the server removed": (
        MESSAGES,
        [LONG, of_model(SERVER_USE, SERVER_RESULT), QUESTION],
        [SHORT, of_model(SERVER_RESULT), QUESTION],
    ),
    "an instruction": (MESSAGES, WITH_USE, [SHORT, plain("system", "s"), QUESTION]),
    "a text before a result": (
        MESSAGES,
        WITH_USE,
        [SHORT, STEP, {"role": "user", "content": [{"type": "text", "text": "n"}, *RESULT["content"]]}, *WITH_USE[3:]],
    ),
    "a text of the model before reasoning": (MESSAGES, WITH_USE, [SHORT, plain("assistant", "s"), *WITH_USE[1:]]),
    "a result twice": (MESSAGES, WITH_USE, [SHORT, STEP, RESULT, RESULT, QUESTION]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_anthropic_refuses_is_not_sent(name: str) -> None:
    """Messages are kept or left out, never changed."""
    form, before, after = REFUSED[name]
    with pytest.raises(CannotReplace):
        sources_of(history(form, *before), after)


CALLS = [
    *((f"{kind}_call", f"{kind}_call_output") for kind in ("function", "custom_tool", "computer", "local_shell")),
    *((f"{kind}_call", f"{kind}_call_output") for kind in ("shell", "apply_patch", "of_tomorrow")),
    ("mcp_approval_request", "mcp_approval_response"),
]


@pytest.mark.parametrize(("call", "output"), CALLS)
def test_calls_of_the_responses_api_are_kept_with_their_results(call: str, output: str) -> None:
    """This holds for every kind of call."""
    begun = {"type": call, "id": "i1", "call_id": "c1", "name": "n", "arguments": "{}"}
    ended = {"type": output, "call_id": "c1", "output": "o", "approval_request_id": "i1"}
    before = history(RESPONSES, LONG, begun, ended, QUESTION)
    for kept in (begun, ended):
        with pytest.raises(CannotReplace, match="is without its"):
            sources_of(before, [SHORT, kept, QUESTION])
    assert sources_of(before, [SHORT, begun, ended, QUESTION]) == [SHORT, 1, 2, 3]
    assert sources_of(before, [SHORT, QUESTION]) == [SHORT, 3]


def test_references_to_stored_items_stay() -> None:
    """What they refer to is not known: it may be the call of a result."""
    reference = {"type": "item_reference", "id": "fc_1"}
    before = history(RESPONSES, LONG, reference, QUESTION)
    with pytest.raises(CannotReplace, match="reference"):
        sources_of(before, [SHORT, QUESTION])


def test_messages_are_found_again_although_they_are_equal() -> None:
    """And new ones are texts of their own."""
    again = plain("user", "go on")
    before = history(CHAT, plain("system", "s"), LONG, again, plain("assistant", "a"), again)
    summary = plain("system", "so far")
    after = [plain("system", "s"), summary, again, again]
    assert sources_of(before, after) == [0, summary, 2, 4]
    assert sources_of(before, after)[1] is not summary
