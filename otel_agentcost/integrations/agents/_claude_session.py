"""One connection to the program of claude-agent-sdk: its turns, its tool calls, and what it reports of both.

The program makes the model calls itself, in a process of its own, and reports running totals after each turn. What is
read here are the JSON messages of its protocol, which are the same for all releases of the SDK.
"""

# Objects of frameworks have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_agentcost.calls import active
from otel_agentcost.calls.agent_run import Agent, AgentRun
from otel_agentcost.calls.reported_turn import ModelReport, ReportedTurn, usd_left
from otel_agentcost.calls.tool_call import ToolCall
from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.telemetry import attribution, blocks, rollup
from otel_agentcost.telemetry.blocks import Place
from otel_agentcost.wire import load

SOURCE: Final = "claude_agent_sdk"
AGENT: Final = "claude-agent"
"""The name of its agents, which have none."""

_KINDS: Mapping[str, Kind] = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_tokens",
    "cacheCreationInputTokens": "cache_write_tokens",
    "webSearchRequests": "web_searches",
}
"""The counts of a model in `modelUsage` (`ModelUsage` of claude_agent_sdk.types). They do not overlap."""

_PARTS: Mapping[str, tuple[Kind, Kind]] = {
    "thinkingTokens": ("output_reasoning_tokens", "output_tokens"),
    "cacheCreationEphemeral5mInputTokens": ("cache_write_5m_tokens", "cache_write_tokens"),
    "cacheCreationEphemeral1hInputTokens": ("cache_write_1h_tokens", "cache_write_tokens"),
}
"""Counts that are a part of another one, which newer releases of the program report (2.1.332)."""

_PROVIDERS: Mapping[str, str] = {
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "anthropicAws": "aws.bedrock",
    "anthropicGoogleCloud": "gcp.vertex_ai",
    "foundry": "azure.ai.inference",
}
"""The values of `ModelUsage.provider` that are not Anthropic itself."""

_LOST = "the session ended before it reported its usage: output tokens are not all counted"


class _Totals(NamedTuple):
    """The running totals of one model."""

    counts: Mapping[Kind, int]
    usd: Decimal | None


class Session:
    """One connection."""

    def __init__(self, model: str | None, conversation: str | None) -> None:
        """Begin a session.

        Args:
            model: The model in the options; None for the program's default.
            conversation: The id of the session, if it is known before it begins.
        """
        self.model = model
        self.conversation = conversation
        self.refused: BudgetExceeded | None = None
        """The refusal of a further prompt, to be raised when the answers to those before are read."""
        self._totals: dict[str, _Totals] = {}
        self._usd: Decimal | None = None
        self._place: Place | None = None
        """The context of the agent's run."""
        self._run: AgentRun | None = None
        """The run that ends with the turn; None if it ends elsewhere, or if there is none."""
        self._turn: ReportedTurn | None = None
        self._seen: dict[str, Answer] = {}
        """The model calls of the turn by the id of their message."""
        self._tools: dict[str, ToolCall] = {}
        """The open tool calls by their id."""

    def agent(self) -> Agent:
        """Return the agent of the session."""
        return Agent(name=AGENT, conversation=self.conversation)

    # --- a turn ---

    def begin(self, place: Place | None = None) -> None:
        """Begin a turn, unless one goes on.

        Args:
            place: The context of the agent's run, which goes on after the turn. Default: a run of the turn's own.
        """
        running = active.active()
        if self._turn is not None or running is None:
            return
        if place is not None:
            self._place = place
        elif self._run is None and self._place is None:
            self._run = AgentRun(self.agent(), SOURCE)
            self._run.__enter__()
            self._place = blocks.place()
            self._run.pause()
        if self._place is not None:
            self._turn = ReportedTurn(running, self._place.context, "anthropic", self.model)

    def read_in(self, span: Span) -> None:
        """Mark `span` if other code has opened it to read the turn in it."""
        if self._run is not None:
            self._run.mark_beside(span)

    async def admit(self) -> None:
        """Reserve for the next model call of the turn.

        Raises:
            BudgetExceeded: A budget refuses the call.
        """
        if self._turn is not None:
            await self._turn.admit()

    async def usd_left(self, *, lasting: bool) -> Decimal | None:
        """Return what the budgets leave for the session, in US dollars; None if no budget limits it.

        Args:
            lasting: True if the session may take any number of prompts: budgets that begin anew do not limit all of it.
        """
        running = active.active()
        if running is None:
            return None
        ctx = blocks.here() if self._place is None else self._place.context
        if self._place is None:
            tally = rollup.tally_of(trace.get_current_span(ctx))
            ctx = attribution.within_agent(ctx, tally, agent=AGENT, conversation=self.conversation)
        return await usd_left(running, ctx, self.model, lasting=lasting)

    def end(self, error: BaseException | None = None) -> None:
        """End the turn, if one goes on. Without a report, list prices apply to the model calls that were seen.

        Args:
            error: The exception that ended it.
        """
        if self._turn is not None:
            self._charge([_lost(answer) for answer in self._seen.values()], None)
        self._end_run(error)

    def _end_run(self, error: BaseException | None) -> None:
        for call in self._tools.values():
            call.__exit__(None, None, None)
        self._tools.clear()
        run, self._run = self._run, None
        if run is not None:
            self._place = None
            run.__exit__(type(error) if error is not None else None, error, None)

    def _charge(self, reports: list[ModelReport], error: str | None) -> None:
        turn, self._turn = self._turn, None
        self._seen.clear()
        if turn is not None:
            turn.end(reports, error)

    def place_for(self, tool: str | None, arguments: Any, identity: str | None) -> Place | None:
        """Return the context for a request of the program that the application answers: a tool, a hook, a permission.

        Args:
            tool: The tool that the application runs; None for other requests.
            arguments: Its arguments.
            identity: The id that the model gave the call, if the program names it.

        Returns:
            None if no run goes on.
        """
        if tool is None or self._place is None:
            return self._place
        call = self._tools.get(identity or "") or next(
            (each for each in self._tools.values() if each.name == tool and each.has_arguments(arguments)), None
        )
        if call is None and identity is not None:  # the request was faster than the message that the application reads
            self.tool_started(identity, tool, arguments)
            call = self._tools.get(identity)
        return self._place if call is None else blocks.place_of(call.inside)

    # --- the messages of the program ---

    def received(self, message: Mapping[str, Any]) -> bool:
        """Take in one message of the program.

        Returns:
            True if the program goes on with another model call, which no budget has admitted yet.
        """
        kind = message.get("type")
        if kind == "assistant":
            self.begin()
            self._assistant(message)
        elif kind == "user":
            return self._results(message)
        elif kind == "result":
            self._result(message)
        elif kind == "conversation_reset":  # its totals begin anew
            self._totals, self._usd = {}, None
        elif kind == "system" and message.get("subtype") == "init":
            self._named(message)
        return False

    def _named(self, message: Mapping[str, Any]) -> None:
        session = message.get("session_id")
        if isinstance(session, str) and session:
            self.conversation = session
            if self._place is not None:
                trace.get_current_span(self._place.context).set_attribute(semconv.CONVERSATION, session)
        if self.model is None and isinstance(message.get("model"), str):
            self.model = message["model"]

    def _assistant(self, message: Mapping[str, Any]) -> None:
        said: Mapping[str, Any] = message["message"]
        model, identity = said.get("model"), said.get("id") or message.get("uuid")
        if isinstance(model, str) and not model.startswith("<") and identity and self._turn is not None:
            answer = load("anthropic_messages").read_response(Call(operation="chat", model=model), dict(said))
            if identity not in self._seen:
                self._turn.saw(model, answer.usage)
            self._seen[identity] = answer._replace(model=model)
        for block in _blocks(said):
            if block.get("type") == "tool_use":
                self.tool_started(block["id"], block["name"], block.get("input"), message.get("parent_tool_use_id"))

    def _results(self, message: Mapping[str, Any]) -> bool:
        results = [block for block in _blocks(message["message"]) if block.get("type") == "tool_result"]
        for block in results:
            call = self._tools.pop(str(block.get("tool_use_id")), None)
            if call is not None:
                call.result = _text(block.get("content"))
                call.failed = bool(block.get("is_error"))
                call.__exit__(None, None, None)
        return bool(results) and not message.get("parent_tool_use_id") and self._turn is not None

    def tool_started(self, identity: str, name: str, arguments: Any, parent: str | None = None) -> None:
        """Open a tool call, unless it is open. A tool call of a subagent is below the call that has started that."""
        if identity in self._tools or self._place is None:
            return
        outer = self._tools.get(parent or "")
        with blocks.moved_to(self._place if outer is None else blocks.place_of(outer.inside)):
            given: dict[str, Any] = dict(arguments) if isinstance(arguments, Mapping) else {}
            call = ToolCall(name, lambda: given, call_id=identity, source=SOURCE)
            call.__enter__()
            self._tools[identity] = call

    def _result(self, message: Mapping[str, Any]) -> None:
        reports = self._reports(message)
        if reports:
            self.begin()
        error = str(message.get("subtype") or "error") if message.get("is_error") else None
        self._charge(reports, error)
        self._end_run(None)

    # --- its report ---

    def _reports(self, message: Mapping[str, Any]) -> list[ModelReport]:
        """Return what the turn adds to the running totals, by model."""
        usage: Any = message.get("modelUsage")
        if not isinstance(usage, Mapping) or not usage:
            return self._reports_of_old(message)
        total = _dollars(message.get("total_cost_usd"))
        if total is not None:
            self._usd = total
        found: list[ModelReport] = []
        for model, told in usage.items():
            if isinstance(told, Mapping):
                now = _Totals(_counts(told), _dollars(told.get("costUSD")))
                before, self._totals[model] = self._totals.get(model), now
                added = now if before is None else _added(before, now)
                if any(added.counts.values()) or added.usd:
                    provider = _PROVIDERS.get(str(told.get("provider")), "anthropic")
                    found.append(ModelReport(provider, model, _answer(model, added.counts), added.usd))
        return found

    def _reports_of_old(self, message: Mapping[str, Any]) -> list[ModelReport]:
        """Read the report of a program that does not name its models: the one that was seen, with all dollars."""
        total, before = _dollars(message.get("total_cost_usd")), self._usd
        self._usd = total if total is not None else before
        usd = total
        if total is not None and before is not None and total >= before:
            usd = money.subtract(total, before)
        model = next((str(answer.model) for answer in self._seen.values()), self.model)
        told: Any = message.get("usage")
        if model is None or not (usd or (isinstance(told, Mapping) and any(told.values()))):
            return []
        body = {"model": model, "usage": told if isinstance(told, Mapping) else None}
        answer = load("anthropic_messages").read_response(Call(operation="chat", model=model), body)
        return [ModelReport("anthropic", model, answer, usd)]


def _blocks(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content")
    return [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []


def _text(content: Any) -> Any:
    """Return the result of a tool as text, if all of it is text."""
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "\n".join(str(part.get("text")) for part in content)
    return content


def _dollars(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        usd = Decimal(str(value))
    except InvalidOperation:
        return None
    return usd if usd.is_finite() and 0 <= usd <= money.MOST else None


def _counts(told: Mapping[str, Any]) -> dict[Kind, int]:
    counts: dict[Kind, int] = {kind: int(told.get(name) or 0) for name, kind in _KINDS.items()}
    for name, (part, whole) in _PARTS.items():
        counts[part] = min(int(told.get(name) or 0), counts[whole])
        counts[whole] -= counts[part]
    return counts


def _added(before: _Totals, now: _Totals) -> _Totals:
    """Return the difference of running totals. Totals that became less have begun anew."""
    if any(count < before.counts[kind] for kind, count in now.counts.items()):
        return now
    usd = now.usd
    if usd is not None and before.usd is not None:
        usd = money.subtract(usd, before.usd)
    counts: dict[Kind, int] = {kind: count - before.counts[kind] for kind, count in now.counts.items()}
    return _Totals(counts, usd if usd is None or usd > 0 else None)


def _answer(model: str, counts: Mapping[Kind, int]) -> Answer:
    used: dict[Kind, Count] = {kind: count for kind, count in counts.items() if count}
    return Answer(usage=Usage(counts=used), model=model)


def _lost(answer: Answer) -> ModelReport:
    return ModelReport("anthropic", str(answer.model), answer._replace(uncounted=_LOST))
