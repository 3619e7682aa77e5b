"""Runs of OpenAI's assistants: they go on after their request, and the finished run has the usage of all its steps.

The events of a stream are the run, its steps and its messages. Only the run counts: its usage has that of its steps.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, fields, get, inside, items, text
from otel_agentcost.wire.format import Format, SoFar
from otel_agentcost.wire.input_bound import NO_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_usage import chat_usage, error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.provider_tools import both
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT"]

RUNS_ON: Final = "a run of an assistant is billed as it runs, after it was created"
_UNFINISHED: Final = frozenset({"queued", "in_progress", "requires_action", "cancelling", None})
_FREE_TOOLS: Final = frozenset({"function", "file_search", None})
"""Tools of an assistant that a run is not billed for: searches in files are billed in the responses API only
(https://platform.openai.com/docs/pricing, 'Built-in tools')."""


class Runs(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = NO_BOUND
    prompt_tokens = PromptFields(messages=("additional_messages", "thread"))
    rewriting = NoRewriting("its model may be that of a stored assistant")

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. Without a model, that of the stored assistant answers."""
        limit = get(body, "max_completion_tokens")
        return Call(
            operation="create_run",
            model=text(body, "model"),
            stream=get(body, "stream") is True,
            max_output_tokens=limit if type(limit) is int and limit > 0 else None,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a run."""
        run = fields(response)
        named, status, model = text(run, "id"), text(run, "status"), text(run, "model")
        if status in _UNFINISHED:
            wrong = error_text(run) if named is None else None
            return Answer(missing=wrong or RUNS_ON, goes_on=wrong is None, model=model, response_id=named)
        usage: Usage | None = None
        missing: str | None = f"the run has ended ({status}) without a usage"
        try:
            counted = inside(get(run, "usage"), "usage")
            if counted is not None:
                usage, missing = chat_usage(counted, model or call.model)
        except Malformed as problem:
            missing = str(problem)
        return Answer(
            usage=usage,
            missing=missing,
            uncounted=_sessions(run),
            model=model,
            response_id=named,
            finish_reasons=(status,) if status is not None else (),
        )

    def open_stream(self, call: Call) -> RunReader:
        """Return a reader for the events of a run."""
        return RunReader(self, call)


def _sessions(run: Any) -> str | None:
    """Return why the usage may be incomplete: what an assistant's tools did is not part of it."""
    names = {text(tool, "type") for tool in items(run, "tools")} - _FREE_TOOLS
    return both(*(f"the run does not say how often it used {name}" for name in sorted(filter(None, names))))


class RunReader:
    """Reads the events of one stream, as the SDK's objects or as JSON: the last state of the run counts."""

    __slots__ = ("_call", "_form", "_run")

    def __init__(self, form: Runs, call: Call) -> None:
        """Create a reader for the run that `call` has asked for; `form` reads it."""
        self._form = form
        self._call = call
        self._run: Any = None

    def feed(self, event: Any) -> None:
        """Read one event."""
        state = get(event, "data") if get(event, "event") is not None else event
        if get(state, "object") == "thread.run":
            self._run = state

    def so_far(self) -> SoFar:
        """Return no text: the run has several answers, and says at its end what they took."""
        return SoFar([])

    def answer(self, *, complete: bool) -> Answer:
        """Return the run as the last event has it. A run goes on when its stream is not read any more."""
        if self._run is None:
            return Answer(missing=RUNS_ON, goes_on=True)
        return self._form.read_response(self._call, self._run)


FORMAT = Runs()
