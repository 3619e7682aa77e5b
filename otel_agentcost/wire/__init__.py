"""Wire formats: one module a format, which reads requests and responses of it into `Call`, `Answer` and `Usage`.

A reader sees JSON-like values (dicts, lists, strings, numbers) or the SDK's objects for them: `fields` reads
both alike. It imports no SDK, does no I/O, changes nothing that it is given, and never
raises on what it reads: a count that is not a count makes the usage unknown, with the reason.

A format is a module with an object called `FORMAT`. The SDK modules say which path is served by which format.
The modules without one (`format`, `parameters`, `rewriting`, `split`, `prompt`, `content`, `transcript`, ...) are what
the formats share.
"""

from __future__ import annotations

from importlib import import_module

from otel_agentcost.wire.format import AnswerReader, CannotRewrite, Change, Format, ModelRequest, SoFar

__all__ = ["AnswerReader", "CannotRewrite", "Change", "Format", "ModelRequest", "SoFar", "load", "name_of"]


def load(name: str) -> Format:
    """The wire format in the module `name` of this folder: imported when the first call needs it, not at start-up."""
    form: Format = import_module(f"{__name__}.{name}").FORMAT
    return form


def name_of(form: Format) -> str:
    """The name by which `load` finds `form`."""
    return type(form).__module__.rpartition(".")[2]
