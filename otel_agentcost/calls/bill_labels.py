"""A pipeline that writes labels for the provider's bill into requests, as the last change before they are sent.

What reads a request (loop detection, budgets, fingerprints, content capture) sees it without the labels. Nothing here
runs, and nothing is imported, unless the setting `bill_labels` names some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from otel_agentcost.calls.call import CURRENT, ActiveCall
from otel_agentcost.calls.pipeline import Arguments, Pipeline, Wrapped
from otel_agentcost.calls.seam import Seam, TakesLabels
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Call, Endpoint
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.wire.format import BillLabels, CannotRewrite, Change, Labels, ModelRequest, Rewritten
from otel_agentcost.wire.rewriting import copied
from otel_agentcost.wire.within import Within

ATTRIBUTES: Final[Mapping[str, str]] = {
    "user": semconv.USER,
    "tenant": semconv.TENANT,
    "team": semconv.TEAM,
    "feature": semconv.FEATURE,
    "agent": semconv.AGENT,
}
"""The labels that there are, and the span attributes with their values."""


class LabellingPipeline(Pipeline):
    """A pipeline that writes labels into the requests of SDKs and HTTP clients, where the wire format takes them."""

    def __init__(self, names: tuple[str, ...], *parts: Any, **more: Any) -> None:
        """Assemble a pipeline.

        Args:
            names: The labels, of `ATTRIBUTES`.
            parts: As for `Pipeline`.
            more: As for `Pipeline`.
        """
        super().__init__(*parts, **more)
        self._names = names

    def call(self, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Make one synchronous call."""
        outer = CURRENT.get()

        def send(*args: Any, **kwargs: Any) -> Any:
            labelled = self._labelled(outer, seam, instance, args, kwargs)
            try:
                return wrapped(*labelled.args, **labelled.kwargs)
            finally:
                labelled.sent()

        return super().call(seam, send, instance, args, kwargs)

    async def call_async(self, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Make one asynchronous call."""
        outer = CURRENT.get()

        async def send(*args: Any, **kwargs: Any) -> Any:
            labelled = self._labelled(outer, seam, instance, args, kwargs)
            try:
                return await wrapped(*labelled.args, **labelled.kwargs)
            finally:
                labelled.sent()

        return await super().call_async(seam, send, instance, args, kwargs)

    def _labelled(self, outer: ActiveCall | None, seam: Seam, instance: Any, args: Any, kwargs: Any) -> _Labels:
        """Return the arguments of a call, with labels if it is a model call that this seam makes."""
        call = CURRENT.get()
        if call is None or call is outer:  # no model call, or a part of one that is labelled above
            return _Labels(None, None, args, kwargs)
        before = call.request
        return _Labels(call, before, *self._written(call, seam, instance, args, kwargs))

    def _written(self, call: ActiveCall, seam: Seam, instance: Any, args: Any, kwargs: Any) -> Arguments:
        request = call.request
        facet, who = request.format.bill_labels, call.record.attribution
        labels = {name: who[ATTRIBUTES[name]] for name in self._names if ATTRIBUTES[name] in who}
        if facet is None or not labels:
            return args, kwargs
        try:
            if isinstance(seam, TakesLabels) and not seam.takes_labels(instance, args, kwargs):
                return args, kwargs
            form = _Labelled(request.format, facet, request.endpoint, labels)
            sent, args, kwargs = seam.rewrite(
                replace(request, format=form), args, kwargs, model=None, max_output_tokens=None
            )
            # A method that is patched twice finds the request of this call by its body.
            call.request = replace(request, call=sent.call)
        except _NothingToWrite:
            pass
        except CannotRewrite as reason:
            warn_once(
                f"bill labels: {request.endpoint.provider} {reason}",
                f"otel-agentcost: a request to {request.endpoint.provider} is sent without its labels for the bill, "
                f"because {reason}.",
            )
        except Exception as bug:  # the call is made without labels
            report("writing labels for the bill", bug)
        return args, kwargs


class _Labels(NamedTuple):
    """The arguments of a call that is about to be sent."""

    call: ActiveCall | None
    before: ModelRequest | None
    """The request without labels."""
    args: Any
    kwargs: Any

    def sent(self) -> None:
        """Let the call have its request without labels again."""
        if self.call is not None and self.before is not None:
            self.call.request = self.before


class _NothingToWrite(CannotRewrite):
    """No label is to be written."""


class _Labelled(Within):
    """A format whose `rewrite` writes labels, so that every seam sends them as it sends any changed request."""

    def __init__(self, inner: Any, facet: BillLabels, target: Endpoint, labels: Labels) -> None:
        super().__init__(inner)
        self._facet = facet
        self._target = target
        self._labels = labels

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body with labels, and the path. Raises `CannotRewrite`."""
        del change
        body = self._facet.labelled(copied(call), path, self._target, self._labels)
        if body is None:
            raise _NothingToWrite
        return body, path
