"""Load the settings of this process from arguments, the environment and the settings file.

The runtime calls `from_environment` once at start-up and logs its `notices`. A value that cannot be parsed raises a
`SettingsError`, and the application runs uninstrumented. An unknown name, and a wrong value of the variable that all
GenAI instrumentations share, are notices. If a budget was wanted and none is enforced, the message says so in capitals.

Nothing else in this package reads a setting from the environment. Nothing here logs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from otel_agentcost.settings.parsers import InvalidValue, quoted
from otel_agentcost.settings.sources import PREFIX, Layer, environment, file_layer, is_set
from otel_agentcost.settings.table import ROWS, Settings, parse, settings_error, variable
from otel_agentcost.settings.warnings import is_limit, unknown, without_effect

_FIELDS = frozenset(row.field for row in ROWS)
_CONSEQUENCE = (
    "The application runs without otel-agentcost: calls are not measured, priced or stopped. "
    "Correct or remove the value, and restart."
)


def from_environment(environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
    """Load the settings of this process.

    An argument takes precedence over the environment, the environment over the settings file, and the file over the
    default.

    Args:
        environ: The environment variables; default `os.environ`.
        arguments: Settings by field name. None and blank text count as not set.

    Raises:
        SettingsError: A value cannot be parsed; the message quotes it.

    """
    passed = {name: value for name, value in arguments.items() if is_set(value)}
    variables = environment(os.environ if environ is None else environ, {row.variable: row.field for row in ROWS})
    layers = [
        Layer(source="argument", written=passed, spelling="the argument {}".format),
        Layer(source="environment", written=variables, spelling=variable),
    ]
    file_mistakes = _add_file(layers)
    winners = {name: layer for layer in reversed(layers) for name in layer.written if name in _FIELDS}

    def spelled(name: str) -> str:
        return winners[name].spelling(name)

    values, mistakes = parse({name: layer.written[name] for name, layer in winners.items()}, spelled)
    notices = [f"{sentence}: no content is recorded." for sentence in _shared(mistakes, winners)]
    ignored = [(layer, name) for layer in layers for name in layer.written if name not in _FIELDS]
    notices += [unknown(layer, name, _FIELDS) for layer, name in ignored]
    if file_mistakes:  # the same mistake in the name of the file
        mistakes.pop("config", None)
    if mistakes or file_mistakes:
        wanted = any(row.budget and row.field in winners for row in ROWS)
        wanted = wanted or any(is_limit(name, _FIELDS) for _, name in ignored)
        # A file that cannot be read may well have a budget in it.
        budget = bool(file_mistakes) or wanted
        raise settings_error([*file_mistakes, *mistakes.values()], _CONSEQUENCE, budget=budget, notices=notices)
    sources = {name: winners[name].source for name in values}
    settings = Settings(**cast("dict[str, Any]", values), sources=sources)
    notices += without_effect(settings, {name: spelled(name) for name in values})
    return replace(settings, notices=tuple(notices))


def _shared(mistakes: dict[str, str], winners: Mapping[str, Layer]) -> list[str]:
    """Remove and return the mistakes in variables that other instrumentations read too: they stop nothing."""
    names = [row.field for row in ROWS if row.field in mistakes and not row.variable.startswith(PREFIX)]
    return [mistakes.pop(name) for name in names if winners[name].source == "environment"]


def _add_file(layers: list[Layer]) -> list[str]:
    """Add the layer of the settings file if a layer above names one. Return the mistakes in it."""
    above = next((layer for layer in layers if "config" in layer.written), None)
    if above is None:
        return []
    try:
        layers.append(file_layer(above))
    except InvalidValue as error:
        return [f"{above.spelling('config')} is {quoted(above.written['config'])}, {error}"]
    return []
