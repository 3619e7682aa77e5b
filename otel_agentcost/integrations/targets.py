"""The methods and functions to patch, and the check that they still have the shape that their patches need.

The check looks at the code object of a function and calls nothing: about 2 us a target, when a module is imported.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType, ModuleType
from typing import Any, NamedTuple

import wrapt

Holder = type | ModuleType
"""A class or module that has a target."""


class Fault(NamedTuple):
    """A reason not to patch a target."""

    text: str
    """A clause that begins with the name of the target."""
    absent: bool = False
    """True if there is no such method, False if it has another shape than expected."""
    optional: bool = False
    """True if calls are counted without the target."""

    @property
    def counts(self) -> bool:
        """True if the fault is worth a warning: the absence of an optional target is not."""
        return not (self.absent and self.optional)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One method or function to wrap, and the shape that its patch needs."""

    module: str
    """The dotted name of the module."""
    owner: str = ""
    """The class that has the method. Empty for a function of the module, also where other modules import it."""
    method: str | Callable[[type], str]
    """The name of the method, or a function that returns the name for a class, if it differs between SDK versions."""
    optional: bool = False
    """True if calls are counted without this target too, so that its absence is no reason for a warning."""
    reads: tuple[str, ...] = ()
    """The parameters that the patch reads, each at its position after `self`. An empty name stands for a parameter
    that is not read. Those after `*` are read by name only.
    """
    asynchronous: bool | None = None
    """True if the patch awaits the result of the method, False if it does not, None if it can do both."""
    together: str = ""
    """Targets of one package with the same name here are patched together or not at all: one alone would count wrongly.
    They are in one module.
    """

    def holder(self, module: Any) -> Any:
        """Return the class or module that has the method; None if `module` does not have the class."""
        return getattr(module, self.owner, None) if self.owner else module

    def method_name(self, holder: Any) -> str:
        """Return the name of the method in `holder`, a class or a module."""
        if isinstance(self.method, str):
            return self.method
        return self.method(holder) if holder is not None else "its method"

    def fault(self, module: Any) -> Fault | None:
        """Return why the target cannot be patched; None if it can be patched.

        Args:
            module: The loaded module with the name `self.module`.
        """
        holder = self.holder(module)
        name = self.method_name(holder)
        place = ".".join(part for part in (self.module, self.owner) if part)
        if holder is None:
            return Fault(f"{place} does not exist", absent=True, optional=self.optional)
        if not isinstance(holder, Holder):
            return Fault(f"{place} is no class", optional=self.optional)
        defining = defining_holder(holder, name)
        if defining is None:
            return Fault(f"{place}.{name} does not exist", absent=True, optional=self.optional)
        fault = self._fault_of(vars(defining)[name])
        return Fault(f"{place}.{name} {fault}", optional=self.optional) if fault else None

    def _fault_of(self, found: Any) -> str | None:
        method = list(layers_of(found))
        static = isinstance(method[-1], staticmethod | classmethod)
        if static and self.owner and self.reads:
            return f"is a {type(method[-1]).__name__} now"
        function, bound = _function(method[-1])
        code = getattr(function, "__code__", None)
        if code is None:
            return f"is no function written in Python, but a {type(method[-1]).__name__}"
        if not bound and not static and (missing := _missing(code, self.reads, skipped=1 if self.owner else 0)):
            return f"has no parameter {missing!r} where it is expected"
        outer = next(each for each in method if not isinstance(each, LAYER))
        if self.asynchronous is False and inspect.iscoroutinefunction(outer):
            return "is asynchronous now"
        if self.asynchronous and not any(map(_may_be_awaited, (function, _function(outer)[0]))):
            return "is not asynchronous any more"
        return None


def defining_holder(owner: Holder, method: str) -> Holder | None:
    """Return `owner`, or the base class of `owner` that defines `method`; None if there is none."""
    holders = (owner,) if isinstance(owner, ModuleType) else owner.__mro__
    return next((holder for holder in holders if method in vars(holder)), None)


LAYER: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)
"""The base class of wrappers: in wrapt 2, a wrapper is no `ObjectProxy`."""


def layers_of(method: Any) -> Iterator[Any]:
    """Yield the wrappers around a method, outermost first, and then the method itself."""
    while True:
        # Code that reads a wrapped method from its class and sets it again sets a bound wrapper. That calls the
        # function that its parent wraps, even if its own `__wrapped__` is another one.
        while isinstance(method, wrapt.BoundFunctionWrapper):
            method = method._self_parent  # noqa: SLF001 (wrapt has no public name for it)
        yield method
        if isinstance(method, staticmethod | classmethod) or not hasattr(method, "__wrapped__"):
            return
        method = method.__wrapped__


def _function(method: Any) -> tuple[Any, bool]:
    """Return the function in the descriptor or partial objects around it, and True if arguments are bound already."""
    bound = False
    method = method.__func__ if isinstance(method, staticmethod | classmethod) else method
    while isinstance(method, functools.partial | functools.partialmethod | MethodType):
        method, bound = method.__func__ if isinstance(method, MethodType) else method.func, True
    return method, bound


def _missing(code: Any, reads: tuple[str, ...], skipped: int) -> str | None:
    """Return the first of `reads` that a function does not have at its position, nor takes by `*args, **kwargs`."""
    positional = code.co_varnames[skipped : code.co_argcount]
    by_name = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    any_name = code.co_flags & inspect.CO_VARKEYWORDS
    keyword_only = False
    for position, name in enumerate(reads):
        keyword_only = keyword_only or name == "*"
        if name in ("", "*"):
            continue
        if keyword_only:
            fits = name in positional or name in by_name or any_name
        elif name in positional:
            fits = positional.index(name) == position
        else:  # passed by name: another parameter at the position would be taken for it
            fits = (name in by_name or any_name) and len(positional) <= position
        if not fits:
            return name
    return None


def _may_be_awaited(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is None or bool(code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE))
