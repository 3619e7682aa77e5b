"""The arguments of a patched method, which an SDK may pass by position or by name."""

from __future__ import annotations

from typing import Any

__all__ = ["argument", "with_argument"]


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
