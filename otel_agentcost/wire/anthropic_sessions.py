"""Sessions of Anthropic's managed agents: events start the agent, and the session says afterwards what it has used.

The usage of a session is that of all its turns together: `calls.unfinished` charges what was not charged before
(https://platform.claude.com/docs/en/managed-agents/session-observability).
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.anthropic_messages import message_usage, service_terms
from otel_agentcost.wire.anthropic_messages.server_tools import other_counters
from otel_agentcost.wire.billed_later import BilledLater
from otel_agentcost.wire.fields import Malformed, fields, get, inside, text
from otel_agentcost.wire.provider_tools import both, unknown

__all__ = ["FORMAT"]

_RUNNING: Final = frozenset({"running", "rescheduling"})
_RUNTIME: Final = "the runtime of the session is billed by the hour, which is not priced"
_SEVERAL: Final = "the agents of the session may use several models, and it does not count them apart"


class Sessions(BilledLater):
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The address names the session, unless it is created."""
        call = super().read_request(body, path)
        before, _, after = path.partition("?")[0].rstrip("/").rpartition("/")
        named = before.rpartition("/")[2] if after == "events" else ""
        return call._replace(parameters={semconv.CONVERSATION: named}) if named else call

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read the events that were sent, or a session."""
        answer = super().read_response(call, response)
        session = fields(response)
        if get(session, "usage") is None or get(session, "agent") is None:
            named = call.parameters.get(semconv.CONVERSATION) or answer.response_id
            known = isinstance(named, str)
            return answer._replace(goes_on=known, response_id=named if isinstance(named, str) else None)
        return _state(session, answer)


def _state(session: Any, answer: Answer) -> Answer:
    """Return what a session has used up to now. It goes on if it runs, or nothing has run yet."""
    agent = get(session, "agent")
    config = get(agent, "model")
    used = get(session, "usage")
    terms, missing = service_terms(config)
    usage: Usage | None = None
    uncounted: str | None = None
    try:
        usage = message_usage(fields(inside(used, "usage")))
        uncounted = both(unknown(other_counters(used, ())), _RUNTIME)
    except Malformed as problem:
        missing = str(problem)
    if text(session, "status") in _RUNNING or (usage is not None and not usage.counts):
        return answer._replace(goes_on=True, total=usage)
    if get(agent, "multiagent") is not None:
        missing = missing or _SEVERAL
    return Answer(
        usage=usage,
        total=usage,
        missing=missing,
        uncounted=uncounted,
        model=text(config, "id"),
        response_id=answer.response_id,
        terms=terms,
    )


FORMAT = Sessions()
