"""The version of code: what a function and its module are, so that no result of other code is taken for theirs."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, cast

from otel_agentcost.guard.forks import LOADED_AT

__all__ = ["code_of", "is_itself", "module_of", "module_or_process"]

_LARGEST: Final = 16_000_000
"""The largest file that is read."""
_ONLY_HERE: Final = os.urandom(12).hex()
"""Stands for a module that has no version: no other process has it."""
_versions: dict[str, tuple[tuple[int, ...], str]] = {}
"""By path: the file's times and size, and the hash of its content."""


def is_itself(kind: type) -> bool:
    """Return True if a class is what its module has under its name: it was made neither in a function nor by `type`."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = vars(found).get(name) if isinstance(found, (type, types.ModuleType)) else None
    return found is kind


def module_of(name: str) -> str | None:
    """Return the name of a module and a hash of its file, and of a program also its path.

    Returns:
        None if it has no file, or one that is younger than this process: it may not be what was loaded.
    """
    path = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(path, str):
        return None
    try:
        version = _version_of(path)
        return version and f"{name}@{version}" + (f"@{Path(path).resolve()}" if name == "__main__" else "")
    except (OSError, ValueError):  # it is in an archive, or away
        return None


def module_or_process(name: str) -> str:
    """Return the same, or a text that only this process has."""
    return module_of(name) or f"{name}@{_ONLY_HERE}"


def _version_of(path: str) -> str | None:
    said = os.stat(path)  # noqa: PTH116 (on each call: `Path` takes three times as long)
    changed = max(said.st_mtime, said.st_ctime)
    if changed >= LOADED_AT or said.st_size > _LARGEST:
        return None
    seen = (said.st_mtime_ns, said.st_ctime_ns, said.st_size, said.st_ino)
    known = _versions.get(path)
    if known is None or known[0] != seen:
        known = _versions[path] = (seen, blake2b(Path(path).read_bytes(), digest_size=16).hexdigest())
    return known[1]


def code_of(code: types.CodeType) -> Iterator[str]:
    """Yield everything that tells what a code object does."""
    yield from (code.co_name, code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex())
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    yield repr((counts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
    yield from _constant(code.co_consts)


def _constant(value: Any) -> Iterator[str]:
    kind: type = type(cast("object", value))
    if kind is types.CodeType:
        yield from code_of(value)
    elif kind is tuple:
        yield f"({len(value)}"
        for each in value:
            yield from _constant(each)
    elif kind is frozenset:
        yield f"{{{len(value)}"
        yield from sorted(" ".join(_constant(each)) for each in value)
    elif kind is slice:  # since Python 3.14
        yield "slice"
        yield from _constant((value.start, value.stop, value.step))
    elif kind is int:
        yield f"int {value:x}"
    else:
        yield f"{kind.__name__} {value!r}"
