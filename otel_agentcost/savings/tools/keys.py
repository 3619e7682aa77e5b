"""The key of a tool's result: a hash of the tool, its arguments, whose it is, and what else the result depends on.

Two calls have the same key only if nothing that is known of them differs. What cannot be compared has no key.
"""

from __future__ import annotations

import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable
from enum import Flag
from hashlib import blake2b
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.savings.tools.code import code_of, is_itself, module_of, module_or_process
from otel_agentcost.savings.tools.state import MOMENTS, SIMPLE, is_member, is_named_tuple, state_of, zone_is_plain

__all__ = ["Identities", "Identity", "NotComparable", "digest", "spelled"]

_DEEPEST: Final = 32
_LONGEST: Final = 1_000_000
"""Characters of arguments that are read at most."""
_BY_REPR: Final = frozenset({bytes, *SIMPLE, PurePosixPath, PureWindowsPath, PosixPath, WindowsPath})


class NotComparable(Exception):
    """A value that cannot be compared with another by its content."""


def digest(parts: Iterable[str | None]) -> str:
    """Return a hash of `parts`, of which none can be taken for another."""
    hashed = blake2b(digest_size=24)
    for part in parts:
        encoded = b"" if part is None else part.encode("utf-8", "surrogatepass")
        hashed.update(f"{'-' if part is None else len(encoded)}:".encode())
        hashed.update(encoded)
    return hashed.hexdigest()


def spelled(value: Any) -> str:
    """Return `value` as a text that no other value has.

    Raises:
        NotComparable: It is, or has in it, an object that is more than its content, or it is too large.
    """
    if type(value) is str:
        return f"s{len(value)}:{value}"
    parts: list[str] = []
    _Speller(parts).spell(value, 0)
    return "".join(parts)


class _Speller:
    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._length = 0

    def spell(self, value: Any, depth: int) -> None:
        kind = type(cast("object", value))
        if kind is str:
            self._add(f"s{len(value)}:{value}")
        elif value is None or kind is bool or kind is float:
            self._add(f"{kind.__name__[0]}{value!r};")
        elif kind is int:
            self._add(f"i{value:x};")  # `repr` refuses long ones
        elif depth > _DEEPEST:
            raise NotComparable
        elif kind is dict:
            self._of_dict(value, depth)
        elif kind is list or kind is tuple:
            self._of_items(kind.__name__, value, depth)
        elif kind is set or kind is frozenset:
            self._add(kind.__name__ + "{" + ",".join(sorted(map(spelled, value))) + "}")
        else:
            self._of_object(kind, value, depth)

    def _of_dict(self, value: dict[Any, Any], depth: int) -> None:
        self._add("{")
        for text, key in sorted(((spelled(key), key) for key in value), key=_first):
            self._add(text)
            self.spell(value[key], depth + 1)
        self._add("}")

    def _of_items(self, kind: str, value: Iterable[Any], depth: int) -> None:
        self._add(f"{kind}[")
        for item in value:
            self.spell(item, depth + 1)
        self._add("]")

    def _of_object(self, kind: type, value: Any, depth: int) -> None:
        """Spell a dataclass, or a model of pydantic, by all that it has; other objects if their text tells that."""
        if kind in _BY_REPR or (kind in MOMENTS and zone_is_plain(value)):
            self._add(f"{kind.__name__}={value!r};")
        elif is_member(value):
            self._add(_path_of(kind) + (f"={value.value:x};" if isinstance(value, Flag) else f".{value.name};"))
        elif is_named_tuple(value):
            self._of_items(_path_of(kind), value, depth)
        else:
            state = state_of(value)
            if state is None:
                raise NotComparable
            self._add(_path_of(kind))
            self._of_dict(state, depth)

    def _add(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST:
            raise NotComparable
        self._parts.append(text)


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def _path_of(kind: type) -> str:
    return f"{module_or_process(kind.__module__)}:{kind.__qualname__}"


class Identity(NamedTuple):
    """A text that tells an object from others."""

    text: str
    local: bool
    """True if it is known in this process only."""


class Identities:
    """Tells objects apart: functions of modules by their names and their code, other objects by a name of their own.

    An object gets its name when it is first seen, and the name ends with it. So no later object is taken for it.
    """

    def __init__(self) -> None:
        self._names: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._codes: weakref.WeakKeyDictionary[types.FunctionType, tuple[types.CodeType, str]]
        self._codes = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, value: object) -> Identity:
        """Return the identity of `value`.

        Raises:
            NotComparable: It has none that would end with it.
        """
        if value is None or type(value) in (str, int, float, bool, bytes):
            return Identity(spelled(value), local=False)
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, types.MethodType):
            owner, function = self.of(value.__self__), self.of(value.__func__)
            return Identity(f"{owner.text} {function.text}", owner.local or function.local)
        if isinstance(value, types.BuiltinMethodType):
            return self._of_builtin(value)
        if isinstance(value, type) and is_itself(value):
            module = module_of(value.__module__)
            if module is not None:
                return Identity(f"{module}:{value.__qualname__}", local=False)
        return Identity(self._name_of(value), local=True)

    def _of_function(self, function: types.FunctionType) -> Identity:
        module = module_of(function.__module__) if _is_plain(function) else None
        if module is None:
            return Identity(self._name_of(function), local=True)
        try:
            defaults = spelled([function.__defaults__, function.__kwdefaults__])
        except NotComparable:
            return Identity(self._name_of(function), local=True)
        known = self._codes.get(function)
        if known is None or known[0] is not function.__code__:
            known = self._codes[function] = (function.__code__, digest(code_of(function.__code__)))
        return Identity(digest([module, function.__qualname__, defaults, known[1]]), local=False)

    def _of_builtin(self, function: types.BuiltinMethodType) -> Identity:
        owner: object = function.__self__
        name = f"{function.__module__}.{function.__qualname__}"
        if owner is None or isinstance(owner, types.ModuleType):
            return Identity(name, local=True)
        return Identity(f"{self.of(owner).text} {name}", local=True)

    def _name_of(self, value: object) -> str:
        key = id(value)
        with self._lock:
            found = self._names.get(key)
            if found is not None and found[0]() is value:
                return found[1]
        try:
            reference = weakref.ref(value, self._forgetting(key))
        except TypeError as error:
            raise NotComparable from error
        name = os.urandom(12).hex()
        with self._lock:
            found = self._names.get(key)  # another thread may have been faster
            if found is not None and found[0]() is value:
                return found[1]
            self._names[key] = (reference, name)
        return name

    def _forgetting(self, key: int) -> Callable[[weakref.ref[Any]], None]:
        names = self._names  # no lock: this may run while the same thread holds it

        def forget(reference: weakref.ref[Any]) -> None:
            found = names.get(key)
            if found is not None and found[0] is reference:
                names.pop(key, None)

        return forget

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()


def _is_plain(function: types.FunctionType) -> bool:
    """Return True if the module of a function has it under its name, so that it is the only one of this name."""
    if function.__closure__ is not None or "<" in function.__qualname__:
        return False
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return _innermost(found) is function


def _innermost(value: Any) -> Any:
    """Return the function in decorators (`__wrapped__`), and in the tool objects of frameworks."""
    for _ in range(20):
        inner = getattr(value, "__wrapped__", None)
        if inner is None:
            inner = next((getattr(value, name) for name in _INNER if callable(getattr(value, name, None))), None)
        if inner is None or isinstance(value, types.MethodType):
            return value
        value = inner
    return value


_INNER: Final = ("func", "coroutine", "function", "fn")
