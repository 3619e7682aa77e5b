"""Call a function each time a module is executed: at its first import, its reload, and its import after a purge.

The hooks of wrapt act once. Test suites and reloaders remove modules from `sys.modules`, and the next import makes new
classes, which have to be patched too. An import of any other module costs one look-up in a dictionary.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import wrapt

Hook = Callable[[ModuleType], object]
"""Called with the module after its code has run. It must not raise: the import would fail."""


def watch(module: str, hook: Hook) -> None:
    """Call `hook` each time the module of this name is executed from now on."""
    with _lock:
        _hooks[module] = (*_hooks.get(module, ()), hook)
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)


def unwatch(module: str, hook: Hook) -> None:
    """Undo `watch`. Without a call of `watch`, do nothing."""
    with _lock:
        left = tuple(each for each in _hooks.pop(module, ()) if each != hook)
        if left:
            _hooks[module] = left
        if not _hooks and _FINDER in sys.meta_path:
            sys.meta_path.remove(_FINDER)


_lock = threading.RLock()  # an import can start in the middle of `watch`, in a finalizer
_hooks: dict[str, tuple[Hook, ...]] = {}


class _Finder(MetaPathFinder):
    """Finds watched modules as the finders behind it do, and puts a loader of its own before theirs."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _hooks:
            return None
        finders = list(sys.meta_path)
        for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
            find_spec = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find_spec(fullname, path, target) if find_spec is not None else None
            if spec is None:
                continue
            if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = _Loader(spec.loader)
            return spec
        return None


_FINDER = _Finder()


_PROXY: Any = wrapt.ObjectProxy  # generic for type checkers, but not in every release of wrapt


class _Loader(_PROXY):  # type: ignore[misc]  # see above
    """Loads a module with the loader that was found, and calls the hooks. The module does not keep it."""

    def exec_module(self, module: ModuleType) -> None:
        loader = self.__wrapped__
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            spec.loader = loader
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = loader
        loader.exec_module(module)
        for hook in _hooks.get(module.__name__, ()):
            hook(module)
