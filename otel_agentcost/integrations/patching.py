"""Install a wrapper around a method of an SDK, or a function of one of its modules, and remove it again.

The wrapper becomes the innermost one. Wrappers of other instrumentations then run outside of it, so that their spans
are open and can be adopted, whatever the order of installation. This module never imports an SDK: a target in a module
that is not loaded yet is patched when the application imports the module, and again each time it is executed anew.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Mapping
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from types import MethodType, ModuleType
from typing import Any, NamedTuple

import wrapt

from otel_agentcost.diagnostics import report
from otel_agentcost.integrations import import_hook
from otel_agentcost.integrations.self_check import SelfCheck
from otel_agentcost.integrations.targets import LAYER, Holder, Target, defining_holder, layers_of

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""Called as `wrapper(wrapped, instance, args, kwargs)` in place of the method; a function has no instance."""

__all__ = ["FunctionPatch", "Patch", "Target", "Wrapper", "argument", "optional_argument", "with_argument"]


class Patch:
    """One target with its wrapper. `remove` undoes exactly what `install` did."""

    def __init__(self, target: Target, wrapper: Wrapper, check: SelfCheck | None = None) -> None:
        """Create the patch, which is not installed yet.

        Args:
            target: The method or function.
            wrapper: Is called in its place.
            check: The check of all targets of a package, which logs what cannot be patched. Default: one of this
                target alone.
        """
        self.target = target
        self._check = check or SelfCheck((target,))
        self._wrapper = wrapper
        self._placed: list[_Placed] = []
        self._watched: list[weakref.ref[Any]] = []
        self.active = False

    def install(self) -> None:
        """Patch the target now if its module is loaded, and whenever it is imported from now on."""
        self.active = True
        import_hook.watch(self.target.module, self._imported)
        module = sys.modules.get(self.target.module)
        if module is not None:
            self._patch(module)
        elif not self.target.optional:
            import_hook.watch(self._parent, self._look)
            if self._parent in sys.modules:
                self._look(None)

    @property
    def _parent(self) -> str:
        return self.target.module.rpartition(".")[0]

    def _look(self, _package: Any) -> None:
        """Look for the module of the target, when the package around it has been imported."""
        if self.active:
            try:
                self._check.look_for(self.target)
            except Exception as error:  # an import system of the application may raise anything
                report(f"looking for {self.target.module}", error)

    def _imported(self, module: Any) -> None:
        if self.active:
            self._placed = [each for each in self._placed if each.wrapper() is not None]  # without purged modules
            self._patch(module)

    def _patch(self, module: Any) -> None:
        target = self.target
        try:
            if not self._check.passed(target, module):
                return
            owner = target.holder(module)
            name = target.method_name(owner)
            holder: Any = defining_holder(owner, name)
            method = holder.__dict__[name]
            *_, original = layers_of(method)
            for each in (holder, *_other_holders(owner, name, method, original)):
                self._place(each, name, original)
        except Exception as error:
            report(f"patching {target.module}" + (f".{target.owner}" if target.owner else ""), error)

    def _place(self, cls: Holder, name: str, original: Any) -> None:
        """Wrap `original` directly where `cls` has it, unless it is wrapped already.

        A plain function around it (as of Logfire) cannot be changed to call the wrapper: the wrapper goes around it.
        """
        layers = list(layers_of(cls.__dict__.get(name)))
        if not any(layer is original for layer in layers):
            return
        if any(layer is each.wrapper() for layer in layers for each in self._placed):
            return
        depth = next(depth for depth, layer in enumerate(layers) if not isinstance(layer, LAYER))
        wrapper = self.wrapper_of(layers[depth], cls, name)
        self._placed.append(_Placed(weakref.ref(cls), name, weakref.ref(wrapper)))
        if depth:
            layers[depth - 1].__wrapped__ = wrapper
            self._watch(layers[depth - 1], cls, name, original)
        else:
            setattr(cls, name, wrapper)

    def wrapper_of(self, method: Any, holder: Holder, name: str) -> Any:
        """Return the wrapper of `method`, which `holder` has under `name`."""
        return _Wrapper(method, self._wrapper, holder, name)

    def _watch(self, wrapper: Any, cls: Holder, name: str, original: Any) -> None:
        """Patch again when the wrapper of another instrumentation is garbage-collected.

        `uninstrument` of OpenInference restores the method from before its `instrument`, and so removes this patch.
        """

        def gone(_: object) -> None:
            try:
                if self.active:
                    self._place(cls, name, original)
            except Exception as error:
                report(f"patching {cls.__name__}.{name} again", error)

        self._watched.append(weakref.ref(wrapper, gone))

    def remove(self) -> None:
        """Restore the original method. Wrappers of other instrumentations stay, around the original method."""
        self.active = False
        import_hook.unwatch(self.target.module, self._imported)
        import_hook.unwatch(self._parent, self._look)
        self._watched.clear()
        wrappers = [each.wrapper() for each in self._placed]
        searched: set[str] = set()  # one look through all modules finds the wrappers of all of them
        while self._placed:
            placed = self._placed.pop()
            holder, wrapper = placed.holder(), placed.wrapper()
            if holder is None or wrapper is None:
                continue
            _unwrap(holder, placed.name, wrapper)
            if isinstance(holder, type):
                for each in _subclasses(holder):
                    _unwrap(each, placed.name, wrapper)
            elif placed.name not in searched:
                searched.add(placed.name)
                for each in _other_holders(holder, placed.name, *wrappers):
                    for other in wrappers:
                        _unwrap(each, placed.name, other)


class FunctionPatch(Patch):
    """A patch whose wrapper is a plain function: the least that a patched method can cost."""

    def __init__(
        self, target: Target, make: Callable[[Callable[..., Any]], Callable[..., Any]], check: SelfCheck | None = None
    ) -> None:
        """Create the patch, which is not installed yet.

        Args:
            target: The method.
            make: Makes the function in place of the method, with the same arguments.
            check: See `Patch`.
        """
        super().__init__(target, _unused, check)
        self._make = make

    def wrapper_of(self, method: Any, holder: Holder, name: str) -> Any:
        """Return the function in place of `method`."""
        del holder, name
        # Without the attributes of `method`: they may say that another instrumentation has wrapped it.
        return update_wrapper(self._make(method), method, WRAPPER_ASSIGNMENTS, ())


def _unused(*_: object) -> None:
    """Stand for the wrapper that a `FunctionPatch` does not have."""


class _Placed(NamedTuple):
    """A wrapper that was put in place. Weak references: a module that was purged and imported again can be freed."""

    holder: weakref.ref[Any]
    """The patched class or module."""
    name: str
    """The name of the method."""
    wrapper: weakref.ref[Any]


_FunctionWrapper: Any = wrapt.FunctionWrapper


class _Wrapper(_FunctionWrapper):  # type: ignore[misc] # without the stub's types, which know no subclass
    """A patched function, or a patched method in the namespace of its class.

    It can be copied, pickled, compared and referred to as without the patch: a class returns it as it is, and an object
    returns an ordinary bound method of it.
    """

    def __init__(self, wrapped: Any, wrapper: Wrapper, holder: Holder, name: str) -> None:
        super().__init__(wrapped, wrapper)
        self._self_holder = holder
        self._self_name = name
        self._self_is_method = isinstance(holder, type) and inspect.isfunction(wrapped)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if not self._self_is_method:
            return super().__get__(instance, owner)
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._self_is_method or not args:
            return super().__call__(*args, **kwargs)
        instance = args[0]
        if instance is None:  # nothing can be bound to it: the method says so
            return self.__wrapped__(*args, **kwargs)
        return self._self_wrapper(MethodType(self.__wrapped__, instance), instance, args[1:], kwargs)

    def __reduce_ex__(self, _protocol: Any) -> Any:
        if isinstance(self._self_holder, ModuleType):
            return self._self_name  # the name of a global, in the module of the function
        return getattr, (self._self_holder, self._self_name)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _memo: Any) -> Any:
        return self

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


def _unwrap(cls: Holder, name: str, wrapper: Any) -> None:
    outer = None
    for layer in layers_of(cls.__dict__.get(name)):
        if layer is not wrapper:
            outer = layer
        elif outer is None:
            setattr(cls, name, wrapper.__wrapped__)
        elif isinstance(outer, LAYER):
            outer.__wrapped__ = wrapper.__wrapped__


_MODULE: Any = ModuleType
_names_of: Any = _MODULE.__dict__["__dict__"].__get__
"""Returns the namespace of a module without an attribute access, which would load a lazy one. Takes a fifth of the time
of `object.__getattribute__`: a program may have thousands of modules."""


def _other_holders(holder: Holder, name: str, *methods: Any) -> list[Any]:
    """Return the subclasses of a class; for a module, the other modules that have imported the function by its name."""
    if isinstance(holder, type):
        return _subclasses(holder)
    found: list[Any] = []
    # `sys.modules` may have any objects. Some only claim to be a module, such as libraries of cffi.
    entries: list[Any] = list(sys.modules.copy().values())
    for module in entries:
        kind: Any = type(module)
        if kind is ModuleType or issubclass(kind, ModuleType):
            names = _names_of(module)
            if name in names and any(names[name] is method for method in methods):
                found.append(module)
    return found


def _subclasses(cls: type) -> list[type]:
    found: list[type] = []
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        found += [sub, *_subclasses(sub)]
    return found


# --- The arguments of a patched method, which callers may pass by position or by name ---


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str) -> Any:
    """Return the argument at `position` (from 0), or else the keyword argument `name`.

    Raises:
        KeyError: The call has no such argument.
    """
    return args[position] if len(args) > position else kwargs[name]


def optional_argument(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None
) -> Any:
    """Return the argument at `position` (from 0), or else the keyword argument `name`, or else `default`."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def with_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a copy of the arguments with another `value` for the argument at `position`, or else for `name`."""
    if len(args) > position:
        return (*args[:position], value, *args[position + 1 :]), kwargs
    return args, {**kwargs, name: value}
