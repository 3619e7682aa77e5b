"""What a framework's module consists of, and the one way that its tool calls take.

A framework's own exceptions pass unchanged, and so does what it returns: a tool call is looked at, never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from otel_agentcost.calls.tool_call import ToolCall, open_in
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import Patch, Target, Wrapper


class Asked(NamedTuple):
    """What is called. `arguments` are asked for only where somebody wants to know them."""

    name: str
    arguments: Callable[[], Mapping[str, Any]]
    call_id: str | None = None
    """The id that the model gave the call: with it, the conversation's word on it and what is seen here are one."""
    spans: bool = True
    """False where the framework makes a span of the call by itself, which is to be ours too."""


class Answered(NamedTuple):
    """What came back. `failed`: it is an error, which was returned and not raised."""

    result: Any
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPatch:
    """One method through which tools are called."""

    target: Target
    asked: Callable[[Any, tuple[Any, ...], dict[str, Any]], Asked | None]
    """Reads a call from the instance and its arguments; None where it is no call of a tool after all."""
    answered: Callable[[Any], Answered] = Answered
    put_off: Callable[[BaseException], bool] | None = None
    """Whether what was raised says that the tool has not run: somebody is to approve it first, or to run it."""
    asynchronous: bool = False
    nearer: bool = False
    """Whether it is also called by what another patch of the framework sees already: both are one call then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePatch:
    """An async function that answers the model in place of a tool that raised, so that nobody sees it raise."""

    target: Target
    failed: Callable[[dict[str, Any], Any], tuple[str, BaseException] | None]
    """The id of the call that failed and how, from the function's keyword arguments and what it returned; None where
    the error is raised after all.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One framework: its distribution and where its tools are called."""

    name: str
    title: str
    """What people call it."""
    distribution: str
    patches: tuple[ToolPatch | FailurePatch, ...]
    oldest: str = ""
    """The oldest release that the tests cover; patches may well fit older ones, but nobody has looked."""
    toolless: bool = False
    """Whether releases before `oldest` call no tools by themselves, so that nothing is missed with them."""


def patches_of(framework: Framework) -> tuple[Patch, ...]:
    """What to install for it."""
    return tuple(
        Patch(patch.target, _noting(patch) if isinstance(patch, FailurePatch) else _wrapper(framework.name, patch))
        for patch in framework.patches
    )


def _noting(patch: FailurePatch) -> Wrapper:
    async def around_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
        answer = await wrapped(*args, **kwargs)
        try:
            failed = patch.failed(kwargs, answer)
            call = open_in(None)
            if call is not None and failed is not None:
                call.note_failure(*failed)
        except Exception as bug:
            report("reading the result of a failed tool", bug)
        return answer

    return around_async


def _wrapper(framework: str, patch: ToolPatch) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _opened(framework, patch, instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with call:
            result = wrapped(*args, **kwargs)
            _close(call, patch, result)
        return result

    async def around_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _opened(framework, patch, instance, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with call:
            result = await wrapped(*args, **kwargs)
            _close(call, patch, result)
        return result

    return around_async if patch.asynchronous else around


def _opened(
    framework: str, patch: ToolPatch, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ToolCall | None:
    try:
        asked = patch.asked(instance, args, kwargs)
        if asked is None:
            return None
        seen_by = f"{framework}, from nearer by" if patch.nearer else framework
        return ToolCall(
            str(asked.name),
            asked.arguments,
            call_id=asked.call_id,
            seen_by=seen_by,
            spans=asked.spans,
            put_off=patch.put_off,
        )
    except Exception as bug:
        report(f"reading a tool call of {framework}", bug)
        return None


def _close(call: ToolCall, patch: ToolPatch, result: Any) -> None:
    try:
        call.result, failed = patch.answered(result)
        call.failed = call.failed or bool(failed)
    except Exception as bug:
        report(f"reading the result of the tool {call.name}", bug)


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str, default: Any = None) -> Any:
    """The argument that is the `place`th, or goes by its name."""
    return args[place] if len(args) > place else kwargs.get(name, default)


def as_mapping(given: Any) -> Mapping[str, Any]:
    """Arguments by their names, where they have some."""
    if isinstance(given, Mapping):
        return given  # pyright: ignore[reportUnknownVariableType] (whatever the model has sent)
    return {} if given is None else {"input": given}
