"""What applications do to the history that they send: each of these is done to every request of a run.

And the run's messages in each wire format, which `runs` writes as OpenAI chat alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.core.loops import Finding
from otel_agentcost.wire import load
from tests.core.loops.runs import Step

Messages = list[dict[str, Any]]
Edit = Callable[[Messages, int], Messages]


# --- the formats ---


def chat(step: Step, at: int) -> Messages:
    if step.tool is None:
        return [{"role": step.by, "content": step.text}]
    calls = [step, *step.more]
    asked = [
        {"id": f"call_{at}_{n}", "type": "function", "function": {"name": each.tool, "arguments": each.text}}
        for n, each in enumerate(calls)
    ]
    results = [
        {"role": "tool", "tool_call_id": f"call_{at}_{n}", "content": each.result} for n, each in enumerate(calls)
    ]
    return [{"role": "assistant", "content": None, "tool_calls": asked}, *results]


def responses(step: Step, at: int) -> Messages:
    if step.tool is None:
        return [{"type": "message", "role": step.by, "content": [{"type": "input_text", "text": step.text}]}]
    calls = list(enumerate([step, *step.more]))
    return [
        *({"type": "function_call", "call_id": f"c{at}_{n}", "name": s.tool, "arguments": s.text} for n, s in calls),
        *({"type": "function_call_output", "call_id": f"c{at}_{n}", "output": s.result} for n, s in calls),
    ]


def anthropic(step: Step, at: int) -> Messages:
    if step.tool is None:
        return [{"role": step.by, "content": [{"type": "text", "text": step.text}]}]
    calls = list(enumerate([step, *step.more]))
    used = [{"type": "tool_use", "id": f"t{at}_{n}", "name": s.tool, "input": s.arguments} for n, s in calls]
    results = [{"type": "tool_result", "tool_use_id": f"t{at}_{n}", "content": s.result} for n, s in calls]
    return [{"role": "assistant", "content": used}, {"role": "user", "content": results}]


def gemini(step: Step, at: int) -> Messages:
    if step.tool is None:
        return [{"role": "model" if step.by == "assistant" else "user", "parts": [{"text": step.text}]}]
    calls = [step, *step.more]
    called = [{"functionCall": {"name": s.tool, "args": s.arguments}} for s in calls]
    answered = [{"functionResponse": {"name": s.tool, "response": {"result": s.result}}} for s in calls]
    return [{"role": "model", "parts": called}, {"role": "user", "parts": answered}]


FORMATS: dict[str, tuple[str, Callable[[Step, int], Messages]]] = {
    "openai_chat": ("messages", chat),
    "openai_responses": ("input", responses),
    "anthropic_messages": ("messages", anthropic),
    "gemini": ("contents", gemini),
}


def note(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text, "parts": [{"text": text}]}


def requests(run: list[Step], form: str) -> Iterator[tuple[int, Messages]]:
    """Before each model call of a run: how many of its steps are over, and the messages."""
    write = FORMATS[form][1]
    sent: Messages = []
    for at, step in enumerate(run):
        if step.by != "user" and at:
            yield at, list(sent)
        sent += write(step, at)
    yield len(run), sent


# --- the edits ---


def _cleared(messages: Messages, _: int) -> Messages:
    """Results that are older than the last three are replaced by a word: context editing."""
    edited: Messages = json.loads(json.dumps(messages))
    for message in edited[:-6]:
        if message.get("role") == "tool":
            message["content"] = "[cleared]"
        if "output" in message:
            message["output"] = "[cleared]"
        pieces: Any = [*message.get("parts", ()), *_blocks(message)]
        for piece in pieces:
            if piece.get("type") == "tool_result":
                piece["content"] = "[cleared]"
            if "functionResponse" in piece:
                piece["functionResponse"]["response"] = {"result": "[cleared]"}
    return edited


def _blocks(message: dict[str, Any]) -> Any:
    content = message.get("content")
    return () if content is None or isinstance(content, str) else content


EDITS: dict[str, Edit] = {
    "as it is": lambda messages, _: messages,
    "doubled": lambda messages, _: [*messages, *messages],
    "doubled now and then": lambda messages, n: [*messages, *messages] if n % 3 == 2 else messages,
    "tripled": lambda messages, _: messages * 3,
    "doubled but for the first": lambda messages, _: [*messages, *messages[1:]],
    "doubled behind a note": lambda messages, _: [*messages, note("The conversation once more:"), *messages],
    "the last turn twice": lambda messages, _: [*messages, *messages[-2:]],
    "the last turns twice": lambda messages, n: [*messages, *messages[-8:]] if n % 2 else messages,
    "the last twelve": lambda messages, _: messages[-12:],
    "the first and the last seven": lambda messages, _: [messages[0], *messages[1:][-7:]],
    "the first and the last two": lambda messages, _: [messages[0], *messages[1:][-2:]],
    "cut now and then": lambda messages, n: messages[-(6 + n % 5) :] if n % 4 == 3 else messages,
    "summed up each time": lambda messages, n: [note(f"Summary {n}: much was done."), *messages[-6:]],
    "summed up, and taken back": lambda messages, n: [note("Summary."), *messages[-5:]] if n % 2 else messages,
    "cleared": _cleared,
    "every third left out": lambda messages, _: [message for at, message in enumerate(messages) if at % 3],
    "a note before the last": lambda messages, n: [*messages[:-1], note(f"{n} steps left"), *messages[-1:]],
    "a note at the end": lambda messages, n: [*messages, note(f"{n} steps left")],
    "a first message with the time in it": lambda messages, n: [note(f"It is 12:00:{n:02}."), *messages],
    "backwards": lambda messages, _: messages[::-1],
    "sent twice": lambda messages, _: messages,
    "without results": lambda messages, _: [message for message in messages if not _is_result(message)],
    "without calls": lambda messages, _: [message for message in messages if not _is_call(message)],
}


def _is_result(message: dict[str, Any]) -> bool:
    return any(word in json.dumps(message) for word in ('"tool_result"', '"functionResponse"', "call_output", '"tool"'))


def _is_call(message: dict[str, Any]) -> bool:
    return any(
        word in json.dumps(message) for word in ('"tool_calls"', '"tool_use"', '"functionCall"', '"function_call"')
    )


def findings(run: list[Step], form: str, edit: str) -> list[tuple[int, Finding]]:
    """The loops that are found in a run whose requests are all edited."""
    looping, found = TraceLoops(), list[tuple[int, Finding]]()
    place = FORMATS[form][0]
    for n, (at, messages) in enumerate(requests(run, form)):
        for _ in range(2 if edit == "sent twice" else 1):
            found += [(at, each) for each in looping.before_call(load(form), {place: EDITS[edit](messages, n)}, n)]
    return found
