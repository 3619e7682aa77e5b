"""Wire formats: one module a format, which reads its requests and responses into `Call`, `Answer` and `Usage`.

A reader sees JSON-like values (dicts, lists, strings, numbers) or the objects of an SDK for them; `fields` reads both
alike. It imports no SDK, does no I/O, changes nothing that it reads, and never raises on what it reads: a count that is
not a count makes the usage unknown, with the reason.

A format is a module with an object called `FORMAT`, a subclass of `Format`. `load` finds it in this folder by the
module's name, or in another distribution through an entry point of the group `otel_agentcost.formats`. To add a format
means to add that one module: a format carries its own facets. The SDK modules say which path uses which format. The
modules without a `FORMAT` (`format`, `fields`, `parameters`, `content`, `conversation_items`, `input_bound`, ...) are
what formats share.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Final

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.format import AnswerReader, CannotRewrite, Change, Format, ModelRequest, SoFar

__all__ = [
    "GROUP",
    "AnswerReader",
    "CannotRewrite",
    "Change",
    "Format",
    "ModelRequest",
    "SoFar",
    "UnknownFormat",
    "load",
]

GROUP: Final = "otel_agentcost.formats"
"""The entry-point group for formats of other distributions: name = format, value = module or object with `FORMAT`."""

_loaded: dict[str, Format | str] = {}
"""Formats by name; for a name without a format, the sentence that says why. Entry points are read once a name."""


class UnknownFormat(LookupError):
    """No wire format has this name, or it could not be loaded. The text says which, in one sentence."""


def load(name: str) -> Format:
    """Return the wire format called `name`, imported on first use.

    Args:
        name: The name of a module in this folder, or of an entry point of the group `otel_agentcost.formats`.

    Raises:
        UnknownFormat: Neither has the name, or what it names is no wire format.
    """
    form = _loaded.get(name)
    if form is None:
        try:
            form = _find(name)
        except UnknownFormat as problem:
            form = str(problem)
        _loaded[name] = form
    if isinstance(form, str):
        raise UnknownFormat(form)
    return form


def _find(name: str) -> Format:
    place = f"{__name__}.{name}"
    if name.isidentifier() and find_spec(place) is not None:
        form = getattr(import_module(place), "FORMAT", None)
        if form is not None:
            return _checked(name, form, f"the module {place}")
    for point in entry_points(group=GROUP, name=name):
        where = f"the entry point {point.name} = {point.value}"
        try:
            found: Any = point.load()
        except Exception as error:
            reraise_foreign(error)
            raise UnknownFormat(f"{where} of {GROUP} could not be loaded: {type(error).__name__}: {error}") from error
        return _checked(name, getattr(found, "FORMAT", found), where)
    raise UnknownFormat(f"no module of {__name__} and no entry point of {GROUP} is a wire format called {name!r}")


def _checked(name: str, form: Any, where: str) -> Format:
    if not isinstance(form, Format):
        raise UnknownFormat(f"{where} has no wire format {name!r}: its FORMAT is no instance of {__name__}.Format")
    return form
