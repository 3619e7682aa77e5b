"""The declarations of an SDK's module, and the wrapper that sends its calls through the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Seam
from otel_agentcost.integrations.patching import Patch, Target
from otel_agentcost.integrations.self_check import SelfCheck

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

    @property
    def checked(self) -> Target:
        """The target, which must be asynchronous if and only if `through` awaits it."""
        asynchronous = _ASYNCHRONOUS.get(self.through, self.target.asynchronous)
        return self.target if asynchronous is None else replace(self.target, asynchronous=asynchronous)


_ASYNCHRONOUS: dict[Through, bool] = {
    Pipeline.call: False,
    Pipeline.generate: False,
    Pipeline.call_async: True,
    Pipeline.around: False,
    Pipeline.around_async: True,
}


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
    check = SelfCheck(
        tuple(patchable.checked for patchable in sdk.patches), sdk.distribution, sdk.oldest, "its model calls"
    )
    return tuple(_patch(patchable, pipeline, check) for patchable in sdk.patches)


def _patch(patchable: Patchable, pipeline: Pipeline, check: SelfCheck) -> Patch:
    through = patchable.through
    if through in _ASYNCHRONOUS:  # that of a subclass, if the pipeline is one
        through = getattr(type(pipeline), through.__name__)
    wrapper = partial(through, pipeline, patchable.seam)  # no function of its own: every call passes it
    return Patch(patchable.checked, wrapper, check)
