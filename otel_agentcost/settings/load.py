"""Load the settings of this process from arguments, the environment and the settings file.

The runtime calls `from_environment` once at start-up and logs its `notices`. A value that cannot be parsed turns off
what it concerns and nothing else: one rule of the budgets, one price of a tool, one setting, which has its default
then. A notice quotes it, and says in capitals which limit is not enforced. With the setting `strict`, it raises a
`SettingsError` instead. An unknown name is a notice.

Nothing else in this package reads a setting from the environment. Nothing here logs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from otel_agentcost.settings.parsers import InvalidValue, quoted
from otel_agentcost.settings.sources import Layer, environment, file_layer, is_set
from otel_agentcost.settings.table import ROW_OF, ROWS, Settings, ended, parse, settings_error, variable
from otel_agentcost.settings.warnings import FILE_IS_OFF, as_written, is_off, misspelt, unknown, without_effect

_FIELDS = frozenset(row.field for row in ROWS)
_STOPPED = "The program does not start, because strict is set. Correct or remove the value."


def from_environment(environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
    """Load the settings of this process.

    An argument takes precedence over the environment, the environment over the settings file, and the file over the
    default.

    Args:
        environ: The environment variables; default `os.environ`.
        arguments: Settings by field name. None and blank text count as not set.

    Raises:
        SettingsError: A value cannot be parsed, and the setting `strict` is set; the message quotes it.

    """
    passed = {name: value for name, value in arguments.items() if is_set(value)}
    environ = os.environ if environ is None else environ
    variables = environment(environ, {row.variable: row.field for row in ROWS})
    layers = [
        Layer(source="argument", written=passed, spelling="the argument {}".format),
        Layer(source="environment", written=variables, spelling=variable),
    ]
    file_mistakes = _add_file(layers)
    winners = {name: layer for layer in reversed(layers) for name in layer.written if name in _FIELDS}

    def spelled(name: str) -> str:
        return winners[name].spelling(name)

    values, mistakes = parse({name: layer.written[name] for name, layer in winners.items()}, spelled)
    ignored = [(layer, name) for layer in layers for name in layer.written if name not in _FIELDS]
    notices = [unknown(layer, name, _FIELDS) for layer, name in ignored]
    notices += misspelt(environ, {row.variable: row.field for row in ROWS})
    if file_mistakes:  # the same mistake in the name of the file
        mistakes.pop("config", None)
    # In doubt, who sets `strict` wants it.
    if ("strict" in mistakes or values.get("strict")) and (mistakes or file_mistakes or notices):
        raise settings_error([*file_mistakes, *mistakes.values()], _STOPPED, budget=False, notices=notices)
    wrong = [f"{ended(mistake)} {FILE_IS_OFF}" for mistake in file_mistakes]
    sources = {name: winners[name].source for name in values}
    settings = Settings(**cast("dict[str, Any]", values), sources=sources)
    for field, mistake in mistakes.items():
        wrong.append(f"{ended(mistake)} {is_off(ROW_OF[field], rest=field in values, alone=not settings.rules)}")
    for notice in (without_effect, as_written):
        notices += notice(settings, {name: spelled(name) for name in values})
    return replace(settings, notices=(*wrong, *notices))


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
