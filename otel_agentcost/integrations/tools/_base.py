"""The declarations of a tool framework's module, and the wrapper that measures its tool calls.

A tool call is observed and never changed: its result and its exceptions reach the framework as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from opentelemetry import trace

from otel_agentcost.calls.tool_call import ToolCall, leave_out, open_call
from otel_agentcost.calls.tool_results import kept_or, kept_or_awaited
from otel_agentcost.core.tool_results import Origin, Place
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import Patch, Target, Wrapper
from otel_agentcost.integrations.self_check import SelfCheck
from otel_agentcost.telemetry.generators import generating_async


class ToolRequest(NamedTuple):
    """The tool that is called, and its arguments."""

    name: str
    arguments: Callable[[], Mapping[str, Any]]
    """Returns the arguments by name. Called only if a price function, loop detection or content capture needs them."""
    call_id: str | None = None
    """The id that the model gave the call. It identifies the call in the conversation too."""
    create_span: bool = True
    """False if the framework makes a span of the call. That span then gets the attributes of the call."""
    counts: bool = True
    """False for a function of the framework that ends a run, which the model calls as it calls tools."""


class ToolResponse(NamedTuple):
    """The result of a tool call."""

    result: Any
    failed: bool = False
    """True if `result` is an error that the tool returned instead of raising it."""


class Keeps(NamedTuple):
    """Readers for a method whose results may be kept and given to a later call, if a rule says so."""

    origin: Callable[[Any, tuple[Any, ...], dict[str, Any]], Origin | None]
    """Reads, from the instance and the arguments of a call, what its result depends on besides the tool's arguments:
    the tool's function or object, and what the framework passes to it. Returns None if that cannot be told."""
    renew: Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any] | None = None
    """Makes a kept return value (the first argument) one of this call, where return values name their call."""
    fits: Callable[[Any], bool] | None = None
    """Returns False for a return value that is no result to keep, such as a command."""


AnyPatch: TypeAlias = "ToolPatch | FailurePatch | ListPatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPatch:
    """One method through which a framework calls tools."""

    target: Target
    read_request: Callable[[Any, tuple[Any, ...], dict[str, Any]], ToolRequest | None]
    """Reads the instance, the positional and the keyword arguments of a call. Returns None if it calls no tool."""
    read_response: Callable[[Any], ToolResponse | None] = ToolResponse
    """Reads the return value of the method, or an item of an async generator. Returns None for any item but the result.
    """
    deferred: Callable[[BaseException], bool] | None = None
    """Returns True if the exception means that the tool did not run, for example because it needs approval first."""
    asynchronous: bool = False
    """True if the method is `async`."""
    streams: bool = False
    """True if the method is an async generator, which yields the result. The call ends with it: frameworks may read no
    further, and then the generator is closed much later.
    """
    keeps: Keeps | None = None
    """None if results are never kept: they are streams, or change the framework's objects."""
    inner: bool = False
    """True if another patch of the framework may already measure the call. Both then count as one call."""

    @property
    def checked(self) -> Target:
        """The target, which must be asynchronous if and only if the patch is."""
        return replace(self.target, asynchronous=self.asynchronous)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePatch:
    """An async function that turns the exception of a tool into a response for the model."""

    target: Target
    read_failure: Callable[[dict[str, Any], Any], tuple[str, BaseException] | None]
    """Reads the keyword arguments and the return value of the function. Returns the id of the failed call and its
    exception, or None if the exception is raised after all.
    """

    @property
    def checked(self) -> Target:
        """The target, which must be asynchronous."""
        return replace(self.target, asynchronous=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPatch:
    """An async method that returns descriptions of tools, which say if a tool only reads."""

    target: Target
    read_list: Callable[[Any, Any], object]
    """Reads the instance and the return value of the method."""

    @property
    def checked(self) -> Target:
        """The target, which must be asynchronous."""
        return replace(self.target, asynchronous=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One framework: its distribution and where it calls tools."""

    name: str
    title: str
    """The name in documentation and messages."""
    distribution: str
    patches: tuple[AnyPatch, ...]
    oldest: str = ""
    """The oldest release that the tests cover. Patches may fit older ones, but that is not tested."""
    tools_since_oldest: bool = False
    """True if releases before `oldest` call no tools, so that they need no patch."""


def patches_of(framework: Framework) -> tuple[Patch, ...]:
    """Return the patches to install for `framework`."""
    targets = tuple(patch.checked for patch in framework.patches)
    check = SelfCheck(
        targets, framework.distribution, framework.oldest, "its tool calls", since_oldest=framework.tools_since_oldest
    )
    return tuple(Patch(patch.checked, _wrapper_of(framework.name, patch), check) for patch in framework.patches)


def _wrapper_of(framework: str, patch: AnyPatch) -> Wrapper:
    if isinstance(patch, FailurePatch):
        return _failure_wrapper(patch)
    return _list_wrapper(patch) if isinstance(patch, ListPatch) else _wrapper(framework, patch)


def _list_wrapper(patch: ListPatch) -> Wrapper:
    async def around_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        listed = await wrapped(*args, **kwargs)
        try:
            patch.read_list(instance, listed)
        except Exception as bug:
            report("reading descriptions of tools", bug)
        return listed

    return around_async


def _failure_wrapper(patch: FailurePatch) -> Wrapper:
    async def around_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG001
        response = await wrapped(*args, **kwargs)
        try:
            failure = patch.read_failure(kwargs, response)
            call = open_call(None)
            if call is not None and failure is not None:
                call.note_failure(*failure)
        except Exception as bug:
            report("reading the result of a failed tool", bug)
        return response

    return around_async


def _wrapper(framework: str, patch: ToolPatch) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(framework, patch, instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with call:
            place = _place(call, patch, instance, args, kwargs)
            if place is not None:
                parts = _parts(call, patch, instance, args, kwargs)
                return kept_or(call, place, lambda: wrapped(*args, **kwargs), *parts)
            result = wrapped(*args, **kwargs)
            _set_result(call, patch, result)
        return result

    async def around_async(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(framework, patch, instance, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with call:
            place = _place(call, patch, instance, args, kwargs)
            if place is not None:
                parts = _parts(call, patch, instance, args, kwargs)
                return await kept_or_awaited(call, place, lambda: wrapped(*args, **kwargs), *parts)
            result = await wrapped(*args, **kwargs)
            _set_result(call, patch, result)
        return result

    def around_stream(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(framework, patch, instance, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        return generating_async(wrapped, lambda *_args, **_kwargs: call, partial(_read_item, patch))(*args, **kwargs)

    if patch.streams:
        return around_stream
    return around_async if patch.asynchronous else around


def _place(
    call: ToolCall, patch: ToolPatch, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Place | None:
    keeps = patch.keeps
    return call.place(None, lambda: keeps.origin(instance, args, kwargs)) if keeps is not None else None


def _parts(
    call: ToolCall, patch: ToolPatch, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[[Any], object], Callable[[Any], Any]]:
    """Return what reads the result of a call, and what makes a kept result one of this call."""
    keeps = patch.keeps

    def take(result: Any) -> None:
        if not _set_result(call, patch, result) or (keeps and keeps.fits and not keeps.fits(result)):
            call.is_final = False

    def renew(result: Any) -> Any:
        return keeps.renew(result, instance, args, kwargs) if keeps and keeps.renew else result

    return take, renew


def _read_item(patch: ToolPatch, call: ToolCall, item: Any) -> None:
    if _set_result(call, patch, item):
        call.__exit__(None, None, None)


def _open(
    framework: str, patch: ToolPatch, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ToolCall | None:
    try:
        request = patch.read_request(instance, args, kwargs)
        if request is None:
            return None
        if not request.counts:
            leave_out(trace.get_current_span(), str(request.name))
            return None
        source = f"{framework}, inner" if patch.inner else framework
        return ToolCall(
            str(request.name),
            request.arguments,
            call_id=request.call_id,
            source=source,
            create_span=request.create_span,
            deferred=patch.deferred,
        )
    except Exception as bug:
        report(f"reading a tool call of {framework}", bug)
        return None


def _set_result(call: ToolCall, patch: ToolPatch, result: Any) -> bool:
    """Set the result of `call`. Return True if `result` is one."""
    try:
        response = patch.read_response(result)
        if response is None:
            return False
        call.result = response.result
        call.failed = call.failed or bool(response.failed)
    except Exception as bug:
        report(f"reading the result of the tool {call.name}", bug)
        return False
    return True


def of_function(tool: Any, *names: str) -> object:
    """Return the first of the attributes `names` that `tool` has, where it keeps its function; else the tool."""
    return next((found for name in names if callable(found := getattr(tool, name, None))), tool)


def as_mapping(arguments: Any) -> Mapping[str, Any]:
    """Return `arguments` by name: a mapping as it is, nothing for None, any other value under the name `input`."""
    if isinstance(arguments, Mapping):
        return arguments  # pyright: ignore[reportUnknownVariableType] (the model may have sent anything)
    return {} if arguments is None else {"input": arguments}
