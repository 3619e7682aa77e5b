"""Puts our wrapper round a method of an SDK, or a function of one of its modules, as the innermost one, and takes it
away again.

Innermost matters: whatever another instrumentation wraps round the same method then runs outside of us, so its span
is already there to adopt, in whichever order the two were installed. SDKs are never imported here: a target in a
module that is not loaded yet is patched when the application imports it.
"""

# Objects of SDKs, of which this package knows no types, enter here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import wrapt

from otel_agentcost.diagnostics import report, warn_once

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called as `wrapper(wrapped, instance, args, kwargs)` in place of the method; a function has no instance."""

_Holder = type | ModuleType


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One method to wrap: `module`, `owner` (a class in it) and `method`; without `owner`, a function of the module,
    wherever it is called by that name.
    """

    module: str
    owner: str = ""
    method: str | Callable[[type], str]
    """Its name, or what tells the name from the class where versions of the SDK differ."""
    optional: bool = False
    """Whether calls are counted without it too, so that its absence is nothing to warn about."""

    def holder(self, module: Any) -> Any:
        """What has the method, as far as `module` has it."""
        return getattr(module, self.owner, None) if self.owner else module

    def named(self, holder: Any) -> str:
        """The method's name there."""
        if isinstance(self.method, str):
            return self.method
        return self.method(holder) if holder is not None else "its method"


class Patch:
    """One target with its wrapper: installs itself when the module is there, and undoes exactly what it did."""

    def __init__(self, target: Target, wrapper: Wrapper) -> None:
        self.target = target
        self._wrapper = wrapper
        self._placed: list[tuple[_Holder, str, Any]] = []
        """Each class or module that was patched, the method's name, and our wrapper there."""
        self._watched: list[weakref.ref[Any]] = []
        self.active = False

    def install(self) -> None:
        """Patches now if the module is loaded, else when it is imported."""
        self.active = True
        module = sys.modules.get(self.target.module)
        if module is not None and hasattr(module, self.target.owner or self.target.named(module)):
            self._patch(module)
            return
        wrapt.register_post_import_hook(self._imported, self.target.module)

    def _imported(self, module: Any) -> None:
        if self.active and not self._placed:
            self._patch(module)

    def _patch(self, module: Any) -> None:
        target = self.target
        try:
            owner = target.holder(module)
            name = target.named(owner)
            if not isinstance(owner, _Holder) or not callable(getattr(owner, name, None)):
                if not target.optional:
                    _warn_of_absence(".".join(part for part in (target.module, target.owner, name) if part))
                return
            holder = _holder(owner, name)
            found = holder.__dict__[name]
            *_, original = _layers(found)
            for each in (holder, *_others(owner, name, found, original)):
                self._place(each, name, original)
        except Exception as error:
            report(f"patching {target.module}" + (f".{target.owner}" if target.owner else ""), error)

    def _place(self, cls: _Holder, name: str, original: Any) -> None:
        """Puts our wrapper right round `original` where `cls` has that, unless it is there already.

        A plain function that wraps it (Logfire's) cannot be made to call anything else: our wrapper goes round that.
        """
        layers = list(_layers(cls.__dict__.get(name)))
        if not any(layer is original for layer in layers):
            return
        if any(layer is ours for layer in layers for _, _, ours in self._placed):
            return
        depth = next(depth for depth, layer in enumerate(layers) if not isinstance(layer, _LAYER))
        ours = wrapt.FunctionWrapper(layers[depth], self._wrapper)
        self._placed.append((cls, name, ours))
        if depth:
            layers[depth - 1].__wrapped__ = ours
            self._watch(layers[depth - 1], cls, name, original)
        else:
            setattr(cls, name, ours)

    def _watch(self, wrapper: Any, cls: _Holder, name: str, original: Any) -> None:
        """Looks again when somebody else's wrapper goes away: ours may have gone with it.

        OpenInference's `uninstrument` puts back the very method that it once found, whatever is round that by now.
        """

        def gone(_: object) -> None:
            try:
                if self.active:
                    self._place(cls, name, original)
            except Exception as error:
                report(f"patching {cls.__name__}.{name} again", error)

        self._watched.append(weakref.ref(wrapper, gone))

    def remove(self) -> None:
        """Restores what was there. A wrapper that somebody else put round ours stays, round the original."""
        self.active = False
        self._watched.clear()
        while self._placed:
            cls, name, ours = self._placed.pop()
            for holder in (cls, *_others(cls, name, ours)):
                _take_off(holder, name, ours)


_LAYER: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)  # since wrapt 2, a wrapper is no `ObjectProxy`


def _layers(method: Any) -> Iterator[Any]:
    """The wrappers round a method, the outermost first, and last the method itself."""
    while True:
        # A wrapped method that was read off its class and put back there is a bound wrapper: what it calls is what its
        # parent wraps, whatever it may say that it wraps itself.
        while isinstance(method, wrapt.BoundFunctionWrapper):
            method = method._self_parent  # noqa: SLF001 (wrapt gives it no public name)
        yield method
        if not hasattr(method, "__wrapped__"):
            return
        method = method.__wrapped__


def _take_off(cls: _Holder, name: str, ours: Any) -> None:
    above = None
    for layer in _layers(cls.__dict__.get(name)):
        if layer is not ours:
            above = layer
        elif above is None:
            setattr(cls, name, ours.__wrapped__)
        elif isinstance(above, _LAYER):
            above.__wrapped__ = ours.__wrapped__


def _warn_of_absence(method: str) -> None:
    warn_once(
        f"no target {method}",
        f"otel-agentcost: {method} does not exist, so calls through it are not measured. This version of the SDK is "
        "newer or older than the supported ones: an update of otel-agentcost may help",
    )


def _holder(owner: _Holder, method: str) -> _Holder:
    """The class that defines `method` as seen from `owner`; a module is that itself."""
    if isinstance(owner, ModuleType):
        return owner
    return next(base for base in owner.__mro__ if method in base.__dict__)


def _others(holder: _Holder, name: str, *methods: Any) -> list[Any]:
    """Where else the method may be: in subclasses; a function, in modules that have imported it by its name."""
    if isinstance(holder, type):
        return _subclasses(holder)
    # Anything may be put there, and some of it only says that it is a module (cffi's libraries, which have no names).
    there: list[Any] = list(sys.modules.copy().values())
    loaded = [module for module in there if issubclass(type(module), ModuleType)]
    # Not by attribute: modules that load late would load now.
    found = [(module, object.__getattribute__(module, "__dict__").get(name)) for module in loaded]
    return [module for module, value in found if any(value is method for method in methods)]


def _subclasses(cls: type) -> list[type]:
    found: list[type] = []
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        found += [sub, *_subclasses(sub)]
    return found


# --- The arguments of a patched method, which an SDK may pass by position or by name ---


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str) -> Any:
    """The argument `name`, which is number `at` of those given by position. Raises `KeyError` where there is none."""
    return args[at] if len(args) > at else kwargs[name]


def with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments with another `value` for `name`; those that were given stay as they are."""
    if len(args) > at:
        return (*args[:at], value, *args[at + 1 :]), kwargs
    return args, {**kwargs, name: value}
