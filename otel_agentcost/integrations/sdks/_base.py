"""The declarations of an SDK's module, and the wrapper that sends its calls through the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Seam
from otel_agentcost.integrations.patching import Patch, Target

Through = Callable[[Pipeline, Seam, Callable[..., Any], Any, Any, Any], Any]
"""The method of `Pipeline` that runs in place of a patched method: `call`, `call_async`, `generate`, `attempt`,
`around` or `around_async`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patchable:
    """One method to patch, and the seam that reads its calls."""

    target: Target
    seam: Seam
    through: Through = Pipeline.call


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """One SDK: its distribution and the methods to patch."""

    name: str
    distribution: str
    patches: tuple[Patchable, ...]
    oldest: str = ""
    """The oldest release that the tests cover. Patches may fit older ones, but that is not tested."""


def patches_of(sdk: Sdk, pipeline: Pipeline) -> tuple[Patch, ...]:
    """Return the patches that send the calls of `sdk` through `pipeline`."""
    return tuple(_patch(patchable, pipeline) for patchable in sdk.patches)


def _patch(patchable: Patchable, pipeline: Pipeline) -> Patch:
    through, seam = patchable.through, patchable.seam

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return through(pipeline, seam, wrapped, instance, args, kwargs)

    return Patch(patchable.target, wrapper)
