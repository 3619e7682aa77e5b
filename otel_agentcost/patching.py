"""Puts our wrapper round a method of an SDK, as the innermost one, and takes it away again.

Innermost matters: whatever another instrumentation wraps round the same method then runs outside of us, so its span
is already there to adopt, in whichever order the two were installed. SDKs are never imported here: a target in a
module that is not loaded yet is patched when the application imports it.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt

from otel_agentcost.border import report, warn_once

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called as `wrapper(wrapped, instance, args, kwargs)` in place of the method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One method to wrap: `module`, `owner` (a class in it) and `method`."""

    module: str
    owner: str
    method: str | Callable[[type], str]
    """Its name, or what tells the name from the class where versions of the SDK differ."""
    optional: bool = False
    """Whether calls are counted without it too, so that its absence is nothing to warn about."""


class Patch:
    """One target with its wrapper: installs itself when the module is there, and undoes exactly what it did."""

    def __init__(self, target: Target, wrapper: Wrapper) -> None:
        self.target = target
        self._wrapper = wrapper
        self._placed: list[tuple[type, str, Any, Any]] = []
        self.active = False

    def install(self) -> None:
        """Patches now if the module is loaded, else when it is imported."""
        self.active = True
        module = sys.modules.get(self.target.module)
        if module is not None and hasattr(module, self.target.owner):
            self._patch(module)
            return
        wrapt.register_post_import_hook(self._imported, self.target.module)

    def _imported(self, module: Any) -> None:
        if self.active and not self._placed:
            self._patch(module)

    def _patch(self, module: Any) -> None:
        target = self.target
        try:
            owner = getattr(module, target.owner, None)
            name = target.method if isinstance(target.method, str) else target.method(owner) if owner else "its method"
            if not isinstance(owner, type) or not callable(getattr(owner, name, None)):
                if not target.optional:
                    _warn_of_absence(f"{target.module}.{target.owner}.{name}")
                return
            holder = _holder(owner, name)
            original = _innermost(holder.__dict__[name])
            for cls in (holder, *_subclasses(owner)):
                method = cls.__dict__.get(name)
                if method is not None and _innermost(method) is original:
                    self._place(cls, name, method)
        except Exception as error:
            report(f"patching {target.module}.{target.owner}", error)

    def _place(self, cls: type, name: str, outermost: Any) -> None:
        above = None
        inner = outermost
        while isinstance(inner, wrapt.ObjectProxy):
            above, inner = inner, inner.__wrapped__
        ours = wrapt.FunctionWrapper(inner, self._wrapper)
        if above is None:
            setattr(cls, name, ours)
        else:
            above.__wrapped__ = ours
        self._placed.append((cls, name, ours, inner))

    def remove(self) -> None:
        """Restores what was there. A wrapper that somebody else put round ours stays, round the original."""
        self.active = False
        while self._placed:
            self._take_off(*self._placed.pop())

    @staticmethod
    def _take_off(owner: type, name: str, ours: Any, inner: Any) -> None:
        current = owner.__dict__.get(name)
        if current is ours:
            setattr(owner, name, inner)
            return
        while isinstance(current, wrapt.ObjectProxy):
            if current.__wrapped__ is ours:
                current.__wrapped__ = inner
                return
            current = current.__wrapped__


def _warn_of_absence(method: str) -> None:
    warn_once(
        f"no target {method}",
        f"otel-agentcost: {method} is not there, so calls through it are neither counted nor priced. This version of "
        f"the SDK is newer (or older) than those that otel-agentcost knows: an update may help",
    )


def _holder(cls: type, method: str) -> type:
    """The class that defines `method` as seen from `cls`."""
    return next(base for base in cls.__mro__ if method in base.__dict__)


def _innermost(method: Any) -> Any:
    while isinstance(method, wrapt.ObjectProxy):
        method = method.__wrapped__
    return method


def _subclasses(cls: type) -> list[type]:
    found: list[type] = []
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        found += [sub, *_subclasses(sub)]
    return found
