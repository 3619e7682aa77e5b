"""Let a refusal come out of libraries that wrap it, as the `BudgetExceeded` or `LoopDetected` that it is.

Only where nothing else is lost: the exceptions of instructor, of DSPy and of Semantic Kernel's clients of OpenAI have
the refusal as their cause and no more to say about it. Those of Haystack's pipelines (their state, to continue from)
and of tenacity (which the application asked for) stay. docs/refusals.md lists what is seen of each library.
"""

from __future__ import annotations

from typing import Any

from otel_agentcost.errors import BudgetExceeded, LoopDetected
from otel_agentcost.integrations.patching import Patch, Target, optional_argument
from otel_agentcost.integrations.self_check import SelfCheck

_RETRIES = "instructor.v2.core.retry"
"""The module of the functions that every call of an instructor client goes through."""
_KERNEL = "semantic_kernel"
_COMPLETIONS = f"{_KERNEL}.connectors.ai.open_ai.services.open_ai_handler"
_RESPONSES = f"{_KERNEL}.agents.open_ai.responses_agent_thread_actions"
"""The modules of the methods that every completion and response of Semantic Kernel's clients of OpenAI goes through."""
_MAX_CAUSES = 10


def patches() -> tuple[Patch, ...]:
    """Return the patches of the outermost functions that raise the wrapped refusal."""
    sync = Target(module=_RETRIES, method="retry_sync_v2", optional=True, asynchronous=False)
    asynchronous = Target(module=_RETRIES, method="retry_async_v2", optional=True, asynchronous=True)
    check = SelfCheck((sync, asynchronous), "instructor", calls="refusals")
    wrap = Target(module="dspy.clients.errors", method="wrap_error", reads=("exc",), optional=True, asynchronous=False)
    kernel = (
        _of_kernel(_COMPLETIONS, "OpenAIHandler", "_send_completion_request"),
        _of_kernel(_RESPONSES, "ResponsesAgentThreadActions", "_get_response"),
    )
    kernel_check = SelfCheck(kernel, "semantic-kernel", calls="refusals")
    return (
        Patch(sync, _unwrapping, check),
        Patch(asynchronous, _unwrapping_async, check),
        Patch(wrap, _not_wrapping),
        *(Patch(target, _unwrapping_async, kernel_check) for target in kernel),
    )


def _of_kernel(module: str, owner: str, method: str) -> Target:
    return Target(module=module, owner=owner, method=method, optional=True, asynchronous=True)


def _not_wrapping(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a refusal itself: DSPy raises an exception again that it does not need to wrap."""
    error = optional_argument(args, kwargs, 0, "exc")
    return error if isinstance(error, BudgetExceeded | LoopDetected) else wrapped(*args, **kwargs)


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
