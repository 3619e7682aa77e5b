"""Agents of Semantic Kernel that run at a service: OpenAI's assistants, Azure AI, Amazon Bedrock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded, Settings
from otel_agentcost.core import semconv
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.agents.agent_runs import finish, refused, said, spent, tree, watched
from tests.support.call_shapes import instrumented
from tests.support.event_frames import CONTENT_TYPE, frame
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply, sse_event

agents: Any = pytest.importorskip("semantic_kernel.agents", reason="semantic-kernel is not here: `make frameworks`")
openai: Any = pytest.importorskip("openai", reason="openai is not here")
azure: Any = pytest.importorskip("azure.ai.projects.aio", reason="azure-ai-projects is not here")
azure_agents: Any = pytest.importorskip("azure.ai.agents.models", reason="azure-ai-agents is not here")
policies: Any = pytest.importorskip("azure.core.pipeline.policies", reason="azure-core is not here")
boto3: Any = pytest.importorskip("boto3", reason="boto3 is not here")
bedrock: Any = pytest.importorskip(
    "semantic_kernel.agents.bedrock.models.bedrock_agent_model", reason="semantic-kernel is not here"
)

# This file is skipped as a whole without the packages above.
from tests.integrations.agents.test_semantic_kernel import WAYS, Pages  # noqa: E402 (see above)
from tests.integrations.agents.test_semantic_kernel import its_spans as its_spans  # noqa: E402, PLC0414 (a fixture)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI's assistants

USD = 0.0035
"""1,000 tokens in and 100 out of gpt-4o, at $2.50 and $10 a million."""
RUN = ["invoke_agent researcher", "create_run gpt-4o", "execute_tool Pages-search", "create_run gpt-4o"]
"""The span of the run that was asked for, and the one that has its dollars."""


# --- OpenAI's assistants, and Azure AI, which speaks their language ---------------------------------------------------


def run(status: str, **more: Any) -> dict[str, Any]:
    """A run of an assistant."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return {
        "id": "run_1", "object": "thread.run", "created_at": 1, "thread_id": "thread_1", "assistant_id": "asst_1",
        "status": status, "model": "gpt-4o", "instructions": "", "tools": [], "metadata": {},
        "usage": usage if status == "completed" else None, "parallel_tool_calls": True, **more,
    }  # fmt: skip


TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "Pages-search", "arguments": json.dumps({"query": "bees"})},
}
ASKS = run(
    "requires_action",
    required_action={"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [TOOL_CALL]}},
)
STEP = {
    "id": "step_1", "object": "thread.run.step", "created_at": 1, "completed_at": 2, "status": "completed",
    "run_id": "run_1", "thread_id": "thread_1", "assistant_id": "asst_1", "type": "message_creation",
    "step_details": {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "object": "thread.message", "created_at": 1, "thread_id": "thread_1", "role": "assistant",
    "status": "completed", "assistant_id": "asst_1", "run_id": "run_1", "metadata": {}, "attachments": [],
    "content": [{"type": "text", "text": {"value": "Bees shiver.", "annotations": []}}],
}  # fmt: skip
DELTA = {
    "id": "msg_1",
    "object": "thread.message.delta",
    "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "Bees."}}]},
}


def streamed(*events: tuple[str, dict[str, Any]]) -> Reply:
    """A stream of a run."""
    sent = [f"event: {kind}\n".encode() + sse_event(data) for kind, data in events]
    return Reply(content_type="text/event-stream", chunks=[*sent, b"event: done\ndata: [DONE]\n\n"])


FIRST = (("thread.run.created", run("queued")), ("thread.run.requires_action", ASKS))
SECOND = (
    ("thread.message.created", MESSAGE),
    ("thread.message.delta", DELTA),
    ("thread.message.completed", MESSAGE),
    ("thread.run.completed", run("completed")),
)


class Assistants:
    """The service: a run asks for the tool, and ends when it has the result."""

    def __init__(self) -> None:
        self.answered = False

    def __call__(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        streams = b'"stream":true' in request.body.replace(b" ", b"")
        if path.endswith("/submit_tool_outputs"):
            self.answered = True
            return streamed(*SECOND) if streams else json_reply(run("queued"))
        if path.endswith("/runs"):
            self.answered = False
            return streamed(*FIRST) if streams else json_reply(run("queued"))
        if path.endswith("/runs/run_1"):
            return json_reply(run("completed") if self.answered else ASKS)
        if path.endswith("/steps"):
            steps = [STEP] if self.answered else []
            return json_reply({"object": "list", "data": steps, "has_more": False, "first_id": "", "last_id": ""})
        if "/messages" in path:
            return json_reply(MESSAGE)
        return json_reply({"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}})


@pytest.fixture(name="assistant")
def an_assistant(model_server: ModelServer) -> Any:
    """An agent at OpenAI, with a function."""
    from openai.types.beta import Assistant

    model_server.responder = Assistants()
    client = openai.AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0)
    definition = Assistant(
        id="asst_1", created_at=1, model="gpt-4o", name="researcher", object="assistant", tools=[], metadata={}
    )
    return agents.OpenAIAssistantAgent(client=client, definition=definition, plugins=[Pages()])


def lines(telemetry: Telemetry) -> list[str]:
    """The tree without the spans of the loop around model calls."""
    kept = ("invoke_", "execute_tool", "create_run", "run_agent", "chat")
    return [line.strip() for line in tree(telemetry) if line.strip().startswith(kept)]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_of_an_assistant_is_one_trace(telemetry: Telemetry, assistant: Any, way: str) -> None:
    """The run at the service is one model call, priced when its end is read; the function is a tool call."""
    with instrumented(telemetry, settings=Settings(tool_prices={"Pages-search": "0.25"})):
        finish(WAYS[way](assistant))
    assert lines(telemetry) == RUN
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert telemetry.total("agentcost.cost", gen_ai__agent__name="researcher") == pytest.approx(USD + 0.25)
    assert spent(telemetry) == (1, 1, pytest.approx(USD + 0.25))


@pytest.mark.parametrize("way", WAYS)
def test_a_budget_of_an_assistant_holds(
    telemetry: Telemetry, assistant: Any, model_server: ModelServer, way: str
) -> None:
    """The second run is not asked for."""
    with watched(telemetry, budgets="agent=researcher/day:calls=1"):
        assert isinstance(refused(lambda: WAYS[way](assistant)), BudgetExceeded)
    assert len([each for each in model_server.requests if each.path.partition("?")[0].endswith("/runs")]) == 1


class NoCredential:
    """A credential that the local service does not ask for."""

    async def get_token(self, *_scopes: str, **_options: Any) -> Any:
        raise AssertionError("the policy of authentication is replaced")

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("way", WAYS)
def test_a_run_at_azure_is_one_trace(telemetry: Telemetry, model_server: ModelServer, way: str) -> None:
    """Its client has no seam of its own: the HTTP client that sends has one."""
    model_server.responder = Assistants()

    async def ask() -> None:
        open_policy = policies.SansIOHTTPPolicy()
        url = f"{model_server.url}/api/projects/bees"
        async with azure.AIProjectClient(
            endpoint=url, credential=NoCredential(), authentication_policy=open_policy
        ) as client:
            definition = azure_agents.Agent({"id": "asst_1", "name": "researcher", "model": "gpt-4o", "tools": []})
            await WAYS[way](agents.AzureAIAgent(client=client, definition=definition, plugins=[Pages()]))

    hosts = to_hosts(f"{model_server.url.removeprefix('http://')}=azure.ai.openai")
    with instrumented(telemetry, settings=Settings(tool_prices={"Pages-search": "0.25"}, hosts=hosts)):
        finish(ask())
    assert lines(telemetry) == RUN
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert spent(telemetry) == (1, 1, pytest.approx(USD + 0.25))


# --- Amazon Bedrock ---------------------------------------------------------------------------------------------------

CONTROL = {
    "invocationId": "inv_1",
    "invocationInputs": [
        {
            "functionInvocationInput": {
                "actionGroup": "kernel",
                "function": "Pages-search",
                "parameters": [{"name": "query", "type": "string", "value": "bees"}],
            }
        }
    ],
}


def bedrock_answers(request: Request) -> Reply:
    """Ask for the function, and say something when its result is there."""
    answered = "returnControlInvocationResults" in request.body.decode()
    text = frame("chunk", {"bytes": "QmVlcy4="})
    return Reply(content_type=CONTENT_TYPE, chunks=[text if answered else frame("returnControl", CONTROL)])


@pytest.fixture(name="bedrock_agent")
def an_agent_of_bedrock(model_server: ModelServer) -> Iterator[Callable[..., Any]]:
    """An agent at Amazon Bedrock, with a function."""
    model_server.responder = bedrock_answers
    place: dict[str, Any] = {"region_name": "us-east-1", "endpoint_url": model_server.url}
    keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    runtime = boto3.client("bedrock-agent-runtime", **place, **keys)
    described = {"agentId": "AGENT1", "agentName": "researcher", "foundationModel": "amazon.nova-lite-v1:0"}
    agent = agents.BedrockAgent(
        bedrock.BedrockAgentModel(**described),
        bedrock_runtime_client=runtime,
        bedrock_client=boto3.client("bedrock-agent", **place, **keys),
        plugins=[Pages()],
    )

    def thread() -> Any:
        return agents.BedrockAgentThread(bedrock_runtime_client=runtime, session_id="session-1")

    yield lambda way: WAYS[way](agent, thread=thread())
    runtime.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_run_at_bedrock_is_one_trace(telemetry: Telemetry, bedrock_agent: Callable[..., Any], way: str) -> None:
    """Each request is a call without a price: AWS bills what its models do, which no response says."""
    with instrumented(telemetry, settings=Settings(tool_prices={"Pages-search": "0.25"})):
        finish(bedrock_agent(way))
    assert lines(telemetry) == [RUN[0], "run_agent", RUN[2], "run_agent"]
    assert len({span.context.trace_id for span in telemetry.spans if span.context is not None}) == 1
    assert spent(telemetry)[:2] == (2, 1)
    reasons = said(telemetry, semconv.UNPRICED)
    assert reasons == {None, "an agent's run is billed as it runs, after it was started"}


@pytest.mark.parametrize("way", WAYS)
def test_a_budget_of_an_agent_at_bedrock_holds(
    telemetry: Telemetry, bedrock_agent: Callable[..., Any], model_server: ModelServer, way: str
) -> None:
    """The second request is not sent."""
    with watched(telemetry, budgets="agent=researcher/day:calls=1"):
        error = refused(lambda: bedrock_agent(way))
    assert isinstance(error, BudgetExceeded)
    assert len(model_server.requests) == 1
