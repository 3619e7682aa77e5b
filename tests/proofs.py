"""Which tests prove what docs/support.md says of a package: the one place for a new package's row.

A cell holds for a release if all of its tests that ran with this release passed, and at least one ran. A skipped test
proves nothing. `pytest --record-support` writes the results into `otel_agentcost/integrations/tested.json`, for each
distribution with the release that is installed; `make matrix` does that for the oldest and the newest release of each.
"""

from __future__ import annotations

CELLS = ("sync", "async", "stream", "tools", "agents", "budgets")

SDKS, TOOLS, AGENTS = (f"tests/integrations/{kind}/test_" for kind in ("sdks", "tools", "agents"))
_HTTP = "tests/integrations/http/test_"
_FAMILY = "tests/coexistence/test_stainless_family.py::test_"

Proofs = dict[str, tuple[str, ...]]
"""The tests of each cell: node ids. An id without parameters stands for all of its cases."""


def _agent(name: str, streamed: str = "", *, asynchronous: str = "", sync: str = "", tools: str = "") -> Proofs:
    """Return the proofs of a framework's agents: cases of `test_a_run_is_one_trace`, and its tests of tools."""
    run = f"{AGENTS}{name}.py::test_a_run_is_one_trace"
    proofs = {
        "sync": f"{run}[{sync}]" if sync else "",
        "async": f"{run}[{asynchronous}]" if asynchronous else "",
        "stream": f"{run}[{streamed}]" if streamed else "",
        "tools": f"{TOOLS}{name}.py::{tools}" if tools else "",
        "agents": run,
        "budgets": f"{AGENTS}{name}.py::test_budgets_hold",
    }
    return {cell: (test,) for cell, test in proofs.items() if test}


def _http(*cases: str, asynchronous: str = "") -> Proofs:
    """Return the proofs of an HTTP client: its cases of the tests that all clients share."""
    read = f"{_HTTP}bodies.py"
    refused = f"{_HTTP}budgets.py::test_a_refused_call_is_not_sent"
    proofs = {"budgets": tuple(f"{refused}[{case}]" for case in (*cases, asynchronous) if case)}
    proofs |= {"sync": tuple(f"{refused}[{case}]" for case in cases)} if cases else {}
    proofs |= {"async": (f"{refused}[{asynchronous}]",)} if asynchronous else {}
    streamed = f"{cases[0]} streamed" if cases else f"{asynchronous} chunks"
    return proofs | {"stream": (f"{read}::test_a_response_that_breaks_off_raises_as_without_us[{streamed}]",)}


def _family(name: str) -> Proofs:
    """Return the proofs of an SDK that has the client of OpenAI's generator."""
    return {
        "sync": (f"{_FAMILY}calls_are_not_missed[{name}]",),
        "async": (f"{_FAMILY}asynchronous_calls_are_not_missed[{name}]",),
        "budgets": (f"{_FAMILY}no_budget_is_overspent[{name}]",),
    }


PROOFS: dict[str, Proofs] = {
    "openai": {
        "sync": (f"{SDKS}openai.py::test_chat[create]", f"{SDKS}openai.py::test_other_endpoints[responses.create]"),
        "async": (f"{SDKS}openai.py::test_chat[async create]",),
        "stream": (f"{SDKS}openai.py::test_chat[stream]", f"{SDKS}openai.py::test_other_endpoints[responses stream]"),
        "tools": (f"{TOOLS}openai.py::test_a_function_that_the_model_called_is_one_span",),
        "budgets": ("tests/calls/budgets/test_refusals.py::test_a_trace_stops_before_its_budget_is_passed",),
    },
    "anthropic": {
        "sync": (f"{SDKS}anthropic.py::test_messages[create]",),
        "async": (f"{SDKS}anthropic.py::test_messages[async create]",),
        "stream": (f"{SDKS}anthropic.py::test_messages[stream]",),
        "tools": (f"{TOOLS}anthropic.py::test_a_tool_that_the_model_called_is_one_span",),
        "budgets": ("tests/calls/budgets/test_refusals.py::test_a_refusal_is_on_the_span_of_the_sdk_too",),
    },
    "google-genai": {
        "sync": (f"{SDKS}google_genai.py::test_gemini[generate_content]",),
        "async": (f"{SDKS}google_genai.py::test_gemini[async generate_content]",),
        "stream": (f"{SDKS}google_genai.py::test_gemini[generate_content_stream]",),
        "tools": (f"{TOOLS}google_genai.py::test_a_function_that_the_model_called_is_one_span",),
        "budgets": (f"{TOOLS}google_genai.py::test_calls_count_in_budgets",),
    },
    "mistralai": {
        "sync": (f"{SDKS}mistralai.py::test_a_chat_is_not_missed",),
        "async": (f"{SDKS}mistralai.py::test_asynchronous_calls_are_not_missed",),
        "stream": (f"{SDKS}mistralai.py::test_a_stream_stays_the_same_object",),
        "budgets": (f"{SDKS}mistralai.py::test_no_budget_is_overspent",),
    },
    "cohere": {
        "sync": (f"{SDKS}cohere.py::test_chats_of_both_versions_are_not_missed",),
        "async": (f"{SDKS}cohere.py::test_asynchronous_calls_are_not_missed",),
        "stream": (f"{SDKS}cohere.py::test_streams_of_both_versions_are_not_missed",),
        "budgets": (f"{SDKS}cohere.py::test_no_budget_is_overspent",),
    },
    "ollama": {
        "sync": (f"{SDKS}ollama.py::test_calls_are_not_missed",),
        "async": (f"{SDKS}ollama.py::test_asynchronous_calls_are_not_missed",),
        "stream": (f"{SDKS}ollama.py::test_a_stream_is_not_begun_before_it_is_read",),
        "budgets": (f"{SDKS}ollama.py::test_no_budget_of_tokens_is_overspent",),
    },
    "huggingface-hub": {
        "sync": (f"{SDKS}huggingface_hub.py::test_a_chat_is_not_missed",),
        "async": (f"{SDKS}huggingface_hub.py::test_an_asynchronous_chat_is_not_missed",),
        "budgets": (f"{SDKS}huggingface_hub.py::test_no_budget_is_overspent",),
    },
    "litellm": {
        "sync": (f"{SDKS}litellm.py::test_another_provider_is_not_missed",),
        "async": (f"{SDKS}litellm.py::test_asynchronous_calls_are_not_missed",),
        "stream": (f"{SDKS}litellm.py::test_a_stream_is_not_guessed",),
        "budgets": (f"{SDKS}litellm.py::test_a_refusal_is_not_wrapped",),
    },
    "boto3": {
        "sync": (f"{SDKS}bedrock.py::test_converse_is_not_missed",),
        "stream": (f"{SDKS}bedrock.py::test_a_stream_stays_the_same_object",),
        "budgets": (f"{SDKS}bedrock.py::test_no_budget_is_overspent",),
    },
    "aiobotocore": {
        "async": (f"{SDKS}aiobotocore.py::test_converse_is_not_missed",),
        "stream": (f"{SDKS}aiobotocore.py::test_a_streamed_body_is_not_missed",),
        "budgets": (f"{SDKS}aiobotocore.py::test_no_budget_is_overspent",),
    },
    "groq": _family("groq"),
    "together": _family("together"),
    "cerebras-cloud-sdk": _family("cerebras.cloud.sdk"),
    "writer-sdk": _family("writerai"),
    "httpx": _http("httpx", asynchronous="httpx async"),
    "httpx2": _http("httpx2", asynchronous="httpx2 async"),
    "requests": _http("requests"),
    "urllib3": _http("urllib3"),
    "aiohttp": _http(asynchronous="aiohttp"),
    "agent-framework-core": _agent("agent_framework", tools="test_a_tool_that_an_agent_calls_is_one_span"),
    "agno": _agent("agno", "run stream", sync="run", asynchronous="arun"),
    "autogen-agentchat": _agent("autogen", "run_stream", asynchronous="run"),
    "autogen-core": {"tools": (f"{TOOLS}autogen.py::test_a_tool_that_an_agent_calls_is_one_span",)},
    "browser-use": {
        "sync": (f"{AGENTS}browser_use.py::test_a_run_is_one_trace[run_sync]",),
        "async": (f"{AGENTS}browser_use.py::test_a_run_is_one_trace[run]",),
        "tools": (f"{AGENTS}browser_use.py::test_an_action_on_the_browser_is_a_tool",),
        "agents": (f"{AGENTS}browser_use.py::test_a_run_is_one_trace",),
        "budgets": (f"{AGENTS}browser_use.py::test_budgets_hold",),
    },
    "crewai": {
        "sync": (f"{AGENTS}crewai.py::test_a_crew_is_a_workflow_of_its_agents",),
        "async": (f"{AGENTS}crewai.py::test_so_is_one_that_runs_in_an_event_loop",),
        "stream": (f"{AGENTS}crewai.py::test_so_is_one_that_streams",),
        "tools": (f"{TOOLS}crewai.py::test_a_tool_that_an_agent_wants_is_one_span",),
        "agents": (f"{AGENTS}crewai.py::test_a_crew_is_a_workflow_of_its_agents",),
        "budgets": (f"{AGENTS}crewai.py::test_budgets_hold",),
    },
    "google-adk": _agent("google_adk", tools="test_a_tool_that_the_model_called_is_one_span"),
    "haystack-ai": _agent("haystack", sync="run", asynchronous="run_async"),
    "langgraph": _agent("langchain", "stream", sync="invoke", asynchronous="ainvoke"),
    "langchain-core": {
        "sync": (f"{TOOLS}langchain.py::test_a_tool_that_the_model_called_is_one_span",),
        "async": (f"{TOOLS}langchain.py::test_so_is_one_that_is_called_asynchronously",),
        "tools": (f"{TOOLS}langchain.py::test_a_tool_that_the_model_called_is_one_span",),
    },
    "llama-index-core": _agent(
        "llama_index", "stream_events", asynchronous="await", tools="test_a_tool_that_an_agent_calls_is_one_span"
    ),
    "mcp": {
        "async": (f"{TOOLS}mcp.py::test_a_call_is_one_span_whoever_makes_it",),
        "tools": (f"{TOOLS}mcp.py::test_a_call_is_one_span_whoever_makes_it",),
    },
    "openai-agents": _agent("openai_agents", "run_streamed", asynchronous="run", tools="test_a_call_is_one_span"),
    "pydantic-ai-slim": _agent("pydantic_ai", "run_stream", asynchronous="run", tools="test_a_call_is_one_span"),
    "semantic-kernel": _agent(
        "semantic_kernel",
        "our spans-invoke_stream",
        asynchronous="our spans-get_response",
        tools="test_a_function_that_the_model_calls_is_one_span",
    ),
    "smolagents": _agent("smolagents", "stream", sync="run"),
    "strands-agents": _agent(
        "strands",
        "stream_async",
        sync="call",
        asynchronous="invoke_async",
        tools="test_a_tool_that_the_model_called_is_one_span",
    ),
}


def cells_of(node: str) -> list[tuple[str, str]]:
    """Return the distributions and the cells that a test proves, by its node id."""
    names = {node, node.partition("[")[0]}
    return [
        (distribution, cell)
        for distribution, proofs in PROOFS.items()
        for cell, tests in proofs.items()
        if not names.isdisjoint(tests)
    ]
