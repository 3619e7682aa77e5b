"""Which tests prove what docs/support.md says of a package: the one place for a new package's row.

A cell holds for a release if all of its tests that ran with this release passed, and at least one ran. A skipped test
proves nothing. `pytest --record-support` writes the results into `otel_agentcost/integrations/tested.json`, for each
distribution with the release that is installed; `make matrix` does that for the oldest and the newest release of each.
"""

from __future__ import annotations

CELLS = ("sync", "async", "stream", "tools", "agents", "budgets")

SDKS, TOOLS, AGENTS, SOCKETS = (f"tests/integrations/{kind}/test_" for kind in ("sdks", "tools", "agents", "sockets"))
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


def _family(name: str, *, asynchronous: bool = True) -> Proofs:
    """Return the proofs of an SDK that has the client of OpenAI's generator."""
    whole_and_streamed = (f"{_FAMILY}calls_are_not_missed[{name}]",)
    also_asynchronous = (f"{_FAMILY}asynchronous_calls_are_not_missed[{name}]",)
    proofs: Proofs = {"sync": whole_and_streamed, "stream": whole_and_streamed}
    proofs |= {"async": also_asynchronous} if asynchronous else {}
    return proofs | {"budgets": (f"{_FAMILY}no_budget_is_overspent[{name}]",)}


def _with_oldest(name: str, proofs: Proofs) -> Proofs:
    """Add the proofs of the oldest release, which is too old for the other tests."""
    file = f"{SDKS}oldest.py::test_"
    older = {
        "sync": (f"{file}a_call_is_priced[{name}]",),
        "async": (f"{file}an_asynchronous_call_is_priced[{name}]",),
        "stream": tuple(f"{file}a_stream_is_priced[{name}-{asking}]" for asking in ("ask", "ask_async")),
        "budgets": tuple(f"{file}a_refused_call_is_not_sent[{name}-{asking}]" for asking in ("ask", "ask_async")),
    }
    return {cell: (*proofs.get(cell, ()), *older.get(cell, ())) for cell in CELLS if cell in {**proofs, **older}}


PROOFS: dict[str, Proofs] = {
    "openai": _with_oldest(
        "openai",
        {
            "sync": (f"{SDKS}openai.py::test_chat[create]", f"{SDKS}openai.py::test_other_endpoints[responses.create]"),
            "async": (f"{SDKS}openai.py::test_chat[async create]",),
            "stream": (
                f"{SDKS}openai.py::test_chat[stream]",
                f"{SDKS}openai.py::test_other_endpoints[responses stream]",
            ),
            "tools": (f"{TOOLS}openai.py::test_a_function_that_the_model_called_is_one_span",),
            "budgets": ("tests/calls/budgets/test_refusals.py::test_a_trace_stops_before_its_budget_is_passed",),
        },
    ),
    "anthropic": _with_oldest(
        "anthropic",
        {
            "sync": (f"{SDKS}anthropic.py::test_messages[create]",),
            "async": (f"{SDKS}anthropic.py::test_messages[async create]",),
            "stream": (f"{SDKS}anthropic.py::test_messages[stream]",),
            "tools": (f"{TOOLS}anthropic.py::test_a_tool_that_the_model_called_is_one_span",),
            "budgets": ("tests/calls/budgets/test_refusals.py::test_a_refusal_is_on_the_span_of_the_sdk_too",),
        },
    ),
    "google-genai": _with_oldest(
        "google-genai",
        {
            "sync": (f"{SDKS}google_genai.py::test_gemini[generate_content]",),
            "async": (f"{SDKS}google_genai.py::test_gemini[async generate_content]",),
            "stream": (f"{SDKS}google_genai.py::test_gemini[generate_content_stream]",),
            "tools": (f"{TOOLS}google_genai.py::test_a_function_that_the_model_called_is_one_span",),
            "budgets": (f"{TOOLS}google_genai.py::test_calls_count_in_budgets",),
        },
    ),
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
    "perplexityai": _family("perplexity"),
    "llama-api-client": _family("llama_api_client"),
    "sambanova": _family("sambanova"),
    "fireworks-ai": _family("fireworks"),
    "inceptionai": _family("inceptionai", asynchronous=False),
    "zai-sdk": _family("zai", asynchronous=False),
    "zhipuai": _family("zhipuai", asynchronous=False),
    "mixedbread": {"sync": (f"{_FAMILY}reranking_and_embeddings_of_mixedbread_are_not_missed",)},
    "xai-sdk": {
        "sync": (f"{SDKS}xai_sdk.py::test_chats_are_not_missed",),
        "async": (f"{SDKS}xai_sdk.py::test_asynchronous_chats_are_not_missed",),
        "stream": (
            f"{SDKS}xai_sdk.py::test_chats_are_not_missed",
            f"{SDKS}xai_sdk.py::test_a_stream_that_is_left_is_not_free",
        ),
        "budgets": (f"{SDKS}xai_sdk.py::test_no_budget_is_overspent",),
    },
    "voyageai": {
        "sync": (
            f"{SDKS}voyageai.py::test_embeddings_are_not_missed",
            f"{SDKS}voyageai.py::test_reranking_is_not_free",
        ),
        "async": (f"{SDKS}voyageai.py::test_asynchronous_embeddings_are_not_missed",),
        "budgets": (f"{SDKS}voyageai.py::test_no_budget_is_overspent",),
    },
    "azure-ai-inference": {
        "sync": (f"{SDKS}azure_ai_inference.py::test_chats_are_not_missed",),
        "async": (f"{SDKS}azure_ai_inference.py::test_asynchronous_chats_are_not_missed",),
        "stream": (
            f"{SDKS}azure_ai_inference.py::test_chats_are_not_missed",
            f"{SDKS}azure_ai_inference.py::test_a_stream_that_is_left_is_not_free",
        ),
        "budgets": (f"{SDKS}azure_ai_inference.py::test_no_budget_is_overspent",),
    },
    "openrouter": {
        **dict.fromkeys(("sync", "async", "stream"), (f"{SDKS}openrouter.py::test_chats_are_not_missed",)),
        "budgets": (f"{SDKS}openrouter.py::test_no_budget_is_overspent",),
    },
    "websockets": {
        "sync": (f"{SOCKETS}openai_realtime.py::test_a_response_is_one_call_with_exact_dollars",),
        "async": (
            f"{SOCKETS}openai_responses.py::test_an_async_response_is_one_call",
            f"{SOCKETS}gemini_live.py::test_a_turn_is_one_call_with_exact_dollars",
        ),
        "budgets": (
            f"{SOCKETS}openai_realtime.py::test_a_refusal_raises_out_of_send_and_sends_nothing",
            f"{SOCKETS}openai_realtime.py::test_an_async_refusal_raises_out_of_send",
            f"{SOCKETS}openai_responses.py::test_a_refused_response_is_not_sent",
            f"{SOCKETS}gemini_live.py::test_a_refused_turn_is_not_sent",
        ),
    },
    "httpx": _with_oldest("httpx", _http("httpx", asynchronous="httpx async")),
    "httpx2": _http("httpx2", asynchronous="httpx2 async"),
    "requests": _http("requests"),
    "urllib3": _http("urllib3"),
    "aiohttp": _http(asynchronous="aiohttp"),
    "agent-framework-core": {
        **_agent("agent_framework", tools="test_a_tool_that_an_agent_calls_is_one_span"),
        "async": (f"{AGENTS}agent_framework.py::test_a_run_is_one_trace",),
    },
    "agno": _agent(
        "agno",
        "run stream",
        sync="run",
        asynchronous="arun",
        tools="test_a_call_is_one_span_with_the_id_of_the_model",
    ),
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
        "tools": (  # the first release has no models of one's own, which the first of these needs
            f"{TOOLS}crewai.py::test_a_tool_that_an_agent_wants_is_one_span",
            f"{TOOLS}crewai.py::test_a_call_by_hand_is_one_span",
        ),
        "agents": (f"{AGENTS}crewai.py::test_a_crew_is_a_workflow_of_its_agents",),
        "budgets": (f"{AGENTS}crewai.py::test_budgets_hold",),
    },
    "claude-agent-sdk": {
        **_agent("claude_agent_sdk", "client", asynchronous="query"),
        "budgets": (f"{AGENTS}claude_agent_sdk.py::test_a_budget_stops_a_turn_between_its_model_calls",),
    },
    "dspy": {  # since 3.4 with its own client and with litellm, before with litellm
        **_agent("dspy", tools="test_a_call_is_one_span"),
        **{
            cell: tuple(
                f"{AGENTS}dspy.py::test_a_run_is_one_trace[{engine}-{way}]" for engine in ("lm15", "litellm", "")
            )
            for cell, way in (("sync", "call"), ("async", "acall"), ("stream", "streamify"))
        },
    },
    "google-adk": {
        **_agent("google_adk", tools="test_a_tool_that_the_model_called_is_one_span"),
        "async": (f"{AGENTS}google_adk.py::test_a_run_is_one_trace",),
    },
    "haystack-ai": _agent("haystack", sync="run", asynchronous="run_async", tools="test_a_call_is_one_span"),
    "langgraph": _agent("langchain", "stream", sync="invoke", asynchronous="ainvoke"),
    "langchain-core": {
        "sync": (f"{TOOLS}langchain.py::test_a_tool_that_the_model_called_is_one_span",),
        "async": (f"{TOOLS}langchain.py::test_so_is_one_that_is_called_asynchronously",),
        "tools": (f"{TOOLS}langchain.py::test_a_tool_that_the_model_called_is_one_span",),
    },
    "llama-index-core": {
        **_agent("llama_index", "stream_events", asynchronous="await"),
        "tools": (  # the first has no agents of this kind
            f"{TOOLS}llama_index.py::test_a_call_is_one_span",
            f"{TOOLS}llama_index.py::test_a_tool_that_an_agent_calls_is_one_span",
        ),
    },
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
    "smolagents": _agent("smolagents", "stream", sync="run", tools="test_a_call_is_one_span"),
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
