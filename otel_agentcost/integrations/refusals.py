"""Let a refusal come out of libraries that wrap or retry it, as the `BudgetExceeded` or `LoopDetected` that it is.

Only where nothing else is lost: the exceptions of instructor, of DSPy, of Semantic Kernel's clients of OpenAI and of
Haystack's fallback have the refusal as their cause and no more to say about it. Those of Haystack's pipelines (their
state, to continue from) and of tenacity (which the application asked for) stay. A node of LangGraph is not retried by a
policy that does not say what to retry. CrewAI runs a task again after any exception but its own deliberate stops: a
refusal is one too. docs/refusals.md lists what is seen of each library.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from otel_agentcost.errors import BudgetExceeded, LoopDetected
from otel_agentcost.integrations.patching import Patch, Target, Wrapper, optional_argument
from otel_agentcost.integrations.self_check import SelfCheck

_RETRIES = "instructor.v2.core.retry"
"""The module of the functions that every call of an instructor client goes through."""
_KERNEL = "semantic_kernel"
_COMPLETIONS = f"{_KERNEL}.connectors.ai.open_ai.services.open_ai_handler"
_RESPONSES = f"{_KERNEL}.agents.open_ai.responses_agent_thread_actions"
"""The modules of the methods that every completion and response of Semantic Kernel's clients of OpenAI goes through."""
_FALLBACK = "haystack.components.generators.chat.fallback"
"""The module of Haystack's component that asks one generator after the other."""
_MAX_CAUSES = 10
_REFUSED: ContextVar[list[BaseException] | None] = ContextVar("agentcost-refused", default=None)
"""The refusals of the generators that the running fallback has asked."""


def patches() -> tuple[Patch, ...]:
    """Return the patches of the outermost functions that raise the wrapped refusal."""
    sync = Target(module=_RETRIES, method="retry_sync_v2", optional=True, asynchronous=False)
    asynchronous = Target(module=_RETRIES, method="retry_async_v2", optional=True, asynchronous=True)
    check = SelfCheck((sync, asynchronous), "instructor", calls="refusals")
    wrap = Target(module="dspy.clients.errors", method="wrap_error", reads=("exc",), optional=True, asynchronous=False)
    crew = Target(
        module="crewai.agent.core",
        owner="Agent",
        method="_check_execution_error",
        reads=("e",),
        optional=True,
        asynchronous=False,
    )
    kernel = (
        _of_kernel(_COMPLETIONS, "OpenAIHandler", "_send_completion_request"),
        _of_kernel(_RESPONSES, "ResponsesAgentThreadActions", "_get_response"),
    )
    kernel_check = SelfCheck(kernel, "semantic-kernel", calls="refusals")
    retry = Target(
        module="langgraph.pregel._retry",
        method="_should_retry_on",
        reads=("retry_policy", "exc"),
        optional=True,
        asynchronous=False,
    )
    return (
        Patch(retry, _not_retrying),
        *_of_fallback("run", "_run_single_sync", _noting, _naming, asynchronous=False),
        *_of_fallback("run_async", "_run_single_async", _noting_async, _naming_async, asynchronous=True),
        Patch(sync, _unwrapping, check),
        Patch(asynchronous, _unwrapping_async, check),
        Patch(wrap, _not_wrapping),
        Patch(crew, _not_again),
        *(Patch(target, _unwrapping_async, kernel_check) for target in kernel),
    )


def _of_kernel(module: str, owner: str, method: str) -> Target:
    return Target(module=module, owner=owner, method=method, optional=True, asynchronous=True)


def _of_fallback(run: str, ask: str, noting: Wrapper, naming: Wrapper, *, asynchronous: bool) -> tuple[Patch, Patch]:
    def target(method: str) -> Target:
        return Target(
            module=_FALLBACK, owner="FallbackChatGenerator", method=method, optional=True, asynchronous=asynchronous
        )

    return Patch(target(ask), noting), Patch(target(run), naming)


def _noting(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _noted():
        return wrapped(*args, **kwargs)


async def _noting_async(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _noted():
        return await wrapped(*args, **kwargs)


@contextmanager
def _noted() -> Generator[None]:
    """Note the refusal of a generator."""
    try:
        yield
    except (BudgetExceeded, LoopDetected) as refusal:
        if (refused := _REFUSED.get()) is not None:
            refused.append(refusal)
        raise


def _naming(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _refusals_of(instance):
        return wrapped(*args, **kwargs)


async def _naming_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _refusals_of(instance):
        return await wrapped(*args, **kwargs)


@contextmanager
def _refusals_of(fallback: Any) -> Generator[None]:
    """Raise the refusal if all generators were refused; name it as the cause if the last one was."""
    refused: list[BaseException] = []
    token = _REFUSED.set(refused)
    try:
        yield
    except RuntimeError as error:
        if (refusal := _named(fallback, error, refused)) is None:
            raise
        raise refusal from None
    finally:
        _REFUSED.reset(token)


def _named(fallback: Any, error: RuntimeError, refused: list[BaseException]) -> BaseException | None:
    """Return the refusal to raise instead of `error`; None if `error` stays."""
    if not refused or error.__cause__ is not None or str(refused[-1]) not in str(error):
        return None
    if len(refused) == len(fallback.chat_generators):
        return refused[-1]
    error.__cause__ = refused[-1]
    return None


def _not_retrying(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return False for a refusal if the policy of a node is LangGraph's own, which retries what may pass."""
    error = optional_argument(args, kwargs, 1, "exc")
    policy = optional_argument(args, kwargs, 0, "retry_policy")
    own = getattr(getattr(policy, "retry_on", None), "__name__", None) == "default_retry_on"
    return False if own and isinstance(error, BudgetExceeded | LoopDetected) else wrapped(*args, **kwargs)


def _not_wrapping(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a refusal itself: DSPy raises an exception again that it does not need to wrap."""
    error = optional_argument(args, kwargs, 0, "exc")
    return error if isinstance(error, BudgetExceeded | LoopDetected) else wrapped(*args, **kwargs)


def _not_again(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Raise a refusal, after CrewAI has told its listeners of it: it runs the task again unless this raises."""
    result = wrapped(*args, **kwargs)
    error = optional_argument(args, kwargs, 0, "e")
    if isinstance(error, BudgetExceeded | LoopDetected):
        raise error
    return result


def _unwrapping(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return wrapped(*args, **kwargs)
    except Exception as error:  # of the library: it may have a refusal within it
        if (refusal := _refusal(error)) is None:
            raise
        raise refusal from None


async def _unwrapping_async(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return await wrapped(*args, **kwargs)
    except Exception as error:  # of the library: it may have a refusal within it
        if (refusal := _refusal(error)) is None:
            raise
        raise refusal from None


def _refusal(error: BaseException) -> BaseException | None:
    """Return the refusal that an exception was raised from; None if there is none, or if it is one itself."""
    cause = error.__cause__
    for _ in range(_MAX_CAUSES):  # `raise error from error` is a circle
        if cause is None or isinstance(cause, BudgetExceeded | LoopDetected):
            return cause
        cause = cause.__cause__
    return None
