"""The key of a tool's result: a hash of the tool, its arguments, whose it is, and what else the result depends on.

Two calls have the same key only if nothing that is known of them differs. What cannot be compared has no key.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from pathlib import PurePath
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

__all__ = ["Identities", "Identity", "NotComparable", "digest", "spelled"]

_DEEPEST: Final = 32
_LONGEST: Final = 1_000_000
"""Characters of arguments that are read at most."""
_BY_REPR: Final = (Decimal, date, datetime, time, timedelta, timezone, UUID)


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
        elif value is None or kind is bool or kind is int or kind is float:
            self._add(f"{kind.__name__[0]}{value!r};")
        elif depth > _DEEPEST:
            raise NotComparable
        elif kind is dict:
            self._of_dict(value, depth)
        elif kind is list or kind is tuple:
            self._of_items(kind.__name__, value, depth)
        elif kind is set or kind is frozenset:
            self._add(kind.__name__ + "{" + ",".join(sorted(map(spelled, value))) + "}")
        elif kind is bytes or kind in _BY_REPR or isinstance(value, PurePath):
            self._add(f"{kind.__name__}={value!r};")
        elif isinstance(value, Enum):
            self._add(f"{_path_of(kind)}.{value.name};")
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
        """Spell a dataclass, or a model of pydantic, by the names and values of its fields."""
        fields: dict[str, Any]
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        elif hasattr(kind, "__pydantic_validator__") and not getattr(value, "__pydantic_private__", None):
            fields = {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
        else:
            raise NotComparable
        self._add(_path_of(kind))
        self._of_dict(fields, depth)

    def _add(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST:
            raise NotComparable
        self._parts.append(text)


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def _path_of(kind: type) -> str:
    if "<locals>" in kind.__qualname__:  # another class may have the same name
        raise NotComparable
    return f"{kind.__module__}.{kind.__qualname__}"


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
        self._lock = threading.Lock()

    def of(self, value: object) -> Identity:
        """Return the identity of `value`.

        Raises:
            NotComparable: It has none that would end with it.
        """
        if value is None or type(value) in (str, int, float, bool, bytes):
            return Identity(spelled(value), local=False)
        if isinstance(value, types.FunctionType) and _is_plain(value):
            return Identity(f"{value.__module__}.{value.__qualname__}#{_code_of(value)}", local=False)
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            return self._of_method(value)
        if isinstance(value, type) and "<locals>" not in value.__qualname__:
            return Identity(f"{value.__module__}.{value.__qualname__}", local=False)
        return Identity(self._name_of(value), local=True)

    def _of_method(self, value: types.MethodType | types.BuiltinMethodType) -> Identity:
        owner: object = value.__self__
        name = getattr(value, "__qualname__", value.__name__)
        if owner is None or isinstance(owner, types.ModuleType):
            return Identity(f"{value.__module__}.{name}", local=False)
        inner = self.of(owner)
        return Identity(f"{inner.text}.{name}", inner.local)

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


def _code_of(function: types.FunctionType) -> str:
    """Return a hash of what a function does, so that a new version of it is another function."""
    return digest(_parts_of(function.__code__))[:16]


def _parts_of(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _parts_of(each)
        elif type(each) in (str, int, float, bytes, bool):
            yield repr(each)
