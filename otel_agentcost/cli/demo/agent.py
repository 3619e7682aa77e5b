"""A small research agent with two tools: what an application looks like that otel-agentcost watches.

The agent is one loop: tell the model something, run the tools that it asks for, give it the results, until it asks for
no more. The lines that concern this package are marked (1) and (2); model calls need no line at all, because
`otel_agentcost.instrument()` patches the SDKs that `chats.py` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry import trace

import otel_agentcost
from otel_agentcost.cli.demo import corpus
from otel_agentcost.cli.demo.chats import Chat, ToolCall, ToolSpec

INSTRUCTIONS = """\
You are a careful research assistant. Search the web with web_search, read the pages that matter with read_page, and
rely on what you have read rather than on memory. When you have read enough, answer in a few short paragraphs for a
reader without prior knowledge, and name the pages that you used."""

MAX_STEPS = 20
"""Model calls after which the agent gives up: a model that is never content must not run forever."""


@otel_agentcost.tool(usd="0.005")  # (1) a span and a price for every call of this tool
def web_search(query: str) -> str:
    """Searches the web: addresses and titles, with the first sentence of each page."""
    found = corpus.search(query)
    lines = [f"{page.url} | {page.title} | {page.text.split('. ')[0].strip()}." for page in found]
    return "\n".join(lines) or "Nothing found."


@otel_agentcost.tool(usd="0.001")  # (1)
def read_page(url: str) -> str:
    """The text of a page."""
    page = corpus.read(url)
    return f"{page.title}\n\n{page.text}" if page else f"There is no page at {url}."


TOOLS: Mapping[str, Callable[..., str]] = {"web_search": web_search, "read_page": read_page}

TOOL_SPECS = (
    ToolSpec(
        name="web_search",
        description="Search the web. Returns addresses and titles of pages.",
        parameters={"query": "What to search for, in a few words."},
    ),
    ToolSpec(
        name="read_page",
        description="Read one page of the web.",
        parameters={"url": "The address of the page, as web_search returned it."},
    ),
)


class GaveUp(Exception):
    """The agent took more than `MAX_STEPS` steps."""


def research(chat: Chat, assignments: Sequence[str], *, user: str) -> str:
    """Works through `assignments` in one conversation, and returns the model's last words."""
    tracer = trace.get_tracer("otel_agentcost.cli.demo.agent")
    span = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"}
    with (
        otel_agentcost.attribute(user=user, feature="research", agent="researcher"),  # (2) who and what it is for
        tracer.start_as_current_span("invoke_agent researcher", attributes=span),
    ):
        text, steps = "", 0
        for assignment in assignments:
            turn = chat.say(assignment)
            steps += 1
            while turn.tool_calls:
                if steps >= MAX_STEPS:
                    raise GaveUp(f"no answer after {steps} model calls")
                turn = chat.give([(call, use_tool(call)) for call in turn.tool_calls])
                steps += 1
            text = turn.text
        return text


def use_tool(call: ToolCall) -> str:
    """Return the tool's result, or what is wrong with the call, so that the model can correct it."""
    try:
        return TOOLS[call.name](**call.arguments)
    except (KeyError, TypeError) as error:
        return f"This call is not possible: {error}"
