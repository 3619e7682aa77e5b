"""semantic-kernel: a response of an agent is a run; an orchestration and a group chat are workflows of such runs.

An orchestration returns while its agents work, in tasks that its runtime has started elsewhere. A message takes the
context of its sender along, so that they work within the workflow. Semantic Kernel makes a span of each run of an agent
if `SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS` asks for it. That span gets the totals.
"""

# Objects of frameworks have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from typing import Any, Final

from otel_agentcost.calls.agent_run import Agent, AgentRun, place_in_run
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, Kind, OwnPatch, makes_spans
from otel_agentcost.integrations.patching import Target, argument
from otel_agentcost.telemetry import blocks

_NAME: Final = "semantic-kernel"
_AGENTS: Final = "semantic_kernel.agents"
_RUNTIME: Final = f"{_AGENTS}.runtime.in_process.in_process_runtime"
_DIAGNOSTICS: Final = "semantic_kernel.utils.telemetry.agent_diagnostics.decorators"
_PLACE: Final = "_agentcost_place"
"""The attribute of a message's metadata with the place of its sender."""
_GENERATED: Final = re.compile(r"[0-9a-f]{32}")
"""The end of the name of an orchestration that the application has given none."""


def _agent(agent: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    return Agent(
        name=agent.name if "name" in agent.model_fields_set else None,  # else it is another one for each agent
        agent_id=agent.id,
        description=agent.description,
        conversation=_conversation(kwargs.get("thread")),
        key=id(agent),
        create_span=not _makes_span(),
    )


def _makes_span() -> bool:
    """Return True if Semantic Kernel makes a span of the run: where it is asked to, and always in old releases."""
    asked = getattr(sys.modules[_DIAGNOSTICS], "are_model_diagnostics_enabled", None)
    return makes_spans() and (asked is None or asked())


def _conversation(thread: Any) -> str | None:
    """Return the id of the thread, unless it is that of the last response."""
    if thread is None or hasattr(thread, "_response_id") or getattr(thread, "_is_deleted", False):
        return None
    return thread.id if isinstance(thread.id, str) else None


def _workflow(workflow: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Agent:
    of_class = type(workflow).__name__
    name = str(getattr(workflow, "name", None) or of_class)
    if _GENERATED.fullmatch(name.removeprefix(f"{of_class}_")):
        name = of_class
    description = getattr(workflow, "description", None)
    return Agent(name=name, workflow=True, description=description, key=id(workflow))


async def _around_orchestration(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Open a workflow, which ends when the event of the result is set."""
    try:
        opened = AgentRun(_workflow(instance, args, kwargs), _NAME)
    except Exception as bug:  # a release of another shape
        report(f"reading a workflow of {_NAME}", bug)
        return await wrapped(*args, **kwargs)
    with opened.begun():
        result = await wrapped(*args, **kwargs)
    try:
        _end_with(opened, result)
    except Exception as bug:  # a result of another shape
        opened.__exit__(None, None, None)
        report(f"waiting for the end of a workflow of {_NAME}", bug)
    return result


def _end_with(opened: AgentRun, result: Any) -> None:
    set_event = result.event.set

    def over() -> None:
        set_event()
        error: BaseException | None = result.exception
        opened.__exit__(None if error is None else type(error), error, None)

    if result.event.is_set():
        over()
    else:
        result.event.set = over


def _take_along(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Keep the place of the sender with the metadata of its message."""
    metadata = wrapped(*args, **kwargs)
    try:
        there = place_in_run(_NAME)
        if there is not None:
            setattr(metadata, _PLACE, there)
    except Exception as bug:  # metadata of another shape: the message is sent all the same
        report(f"keeping the context of a message of {_NAME}", bug)
    return metadata


async def _within_place(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Process a message, in a task of its own, where its sender is."""
    message = argument(args, kwargs, 0, "message_envelope")
    there = getattr(getattr(message, "metadata", None), _PLACE, None)
    with nullcontext() if there is None else blocks.moved_to(there):
        return await wrapped(*args, **kwargs)


def _runs(module: str, owner: str) -> tuple[AgentPatch, ...]:
    kinds: dict[str, Kind] = {
        "get_response": "coroutine",
        "invoke": "async generator",
        "invoke_stream": "async generator",
    }
    return tuple(
        AgentPatch(target=Target(module=module, owner=owner, method=method), read_agent=_agent, kind=kind)
        for method, kind in kinds.items()
    )


FRAMEWORK = AgentFramework(
    name=_NAME,
    title="Semantic Kernel",
    distribution="semantic-kernel",
    oldest="1.35.0",
    runs="`get_response`, `invoke` and `invoke_stream` of all its agents (chat, OpenAI's responses and assistants, "
    "Azure AI, Bedrock); an orchestration and a group chat are workflows",
    refusal="`BudgetExceeded`; in an agent that is a plugin, the function's error message",
    patches=(
        *(
            patch
            for module, owner in (
                ("chat_completion.chat_completion_agent", "ChatCompletionAgent"),
                ("open_ai.openai_responses_agent", "OpenAIResponsesAgent"),
                ("open_ai.openai_assistant_agent", "OpenAIAssistantAgent"),
                ("azure_ai.azure_ai_agent", "AzureAIAgent"),
                ("bedrock.bedrock_agent", "BedrockAgent"),
                ("copilot_studio.copilot_studio_agent", "CopilotStudioAgent"),
            )
            for patch in _runs(f"{_AGENTS}.{module}", owner)
        ),
        AgentPatch(
            target=Target(module=f"{_AGENTS}.group_chat.agent_group_chat", owner="AgentGroupChat", method="invoke"),
            read_agent=_workflow,
            kind="async generator",
        ),
        AgentPatch(
            target=Target(
                module=f"{_AGENTS}.group_chat.agent_group_chat", owner="AgentGroupChat", method="invoke_stream"
            ),
            read_agent=_workflow,
            kind="async generator",
        ),
        OwnPatch(
            target=Target(
                module=f"{_AGENTS}.orchestration.orchestration_base",
                owner="OrchestrationBase",
                method="invoke",
                asynchronous=True,
            ),
            wrapper=_around_orchestration,
        ),
        OwnPatch(
            target=Target(
                module=f"{_AGENTS}.runtime.core.telemetry.propagation", method="get_telemetry_envelope_metadata"
            ),
            wrapper=_take_along,
        ),
        *(
            OwnPatch(
                target=Target(
                    module=_RUNTIME,
                    owner="InProcessRuntime",
                    method=method,
                    reads=("message_envelope",),
                    asynchronous=True,
                ),
                wrapper=_within_place,
            )
            for method in ("_process_send", "_process_publish", "_process_response")
        ),
    ),
)
