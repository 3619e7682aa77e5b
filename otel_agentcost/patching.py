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
    method: str
    applies: Callable[[type], bool] | None = None
    """Looks at the class and says whether this version of the SDK is to be patched here; None: every version is."""


class Patch:
    """One target with its wrapper: installs itself when the module is there, and undoes exactly what it did."""

    def __init__(self, target: Target, wrapper: Wrapper) -> None:
        self.target = target
        self._wrapper = wrapper
        self._placed: list[tuple[type, Any, Any]] = []
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
            if isinstance(owner, type) and target.applies is not None and not target.applies(owner):
                return
            if not isinstance(owner, type) or not callable(getattr(owner, target.method, None)):
                warn_once(
                    f"no target {target.module}.{target.owner}.{target.method}",
                    f"otel-agentcost: {target.module}.{target.owner}.{target.method} is not there, so calls through "
                    f"it are neither counted nor priced. This version of the SDK is newer (or older) than those "
                    f"that otel-agentcost knows: an update may help",
                )
                return
            original = _innermost(_holder(owner, target.method).__dict__[target.method])
            for cls in (_holder(owner, target.method), *_subclasses(owner)):
                method = cls.__dict__.get(target.method)
                if method is not None and _innermost(method) is original:
                    self._place(cls, method)
        except Exception as error:
            report(f"patching {target.module}.{target.owner}.{target.method}", error)

    def _place(self, cls: type, outermost: Any) -> None:
        above = None
        inner = outermost
        while isinstance(inner, wrapt.ObjectProxy):
            above, inner = inner, inner.__wrapped__
        ours = wrapt.FunctionWrapper(inner, self._wrapper)
        if above is None:
            setattr(cls, self.target.method, ours)
        else:
            above.__wrapped__ = ours
        self._placed.append((cls, ours, inner))

    def remove(self) -> None:
        """Restores what was there. A wrapper that somebody else put round ours stays, round the original."""
        self.active = False
        while self._placed:
            self._take_off(*self._placed.pop())

    def _take_off(self, cls: type, ours: Any, inner: Any) -> None:
        current = cls.__dict__.get(self.target.method)
        if current is ours:
            setattr(cls, self.target.method, inner)
            return
        while isinstance(current, wrapt.ObjectProxy):
            if current.__wrapped__ is ours:
                current.__wrapped__ = inner
                return
            current = current.__wrapped__


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
