"""A change of one request that is neither its model nor its output limit, and the format that makes it.

The format is that of the request with another `rewrite`, so that every seam sends an edited request as it sends one
that a budget has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from otel_agentcost.core.call import Call
from otel_agentcost.wire.format import CannotRewrite, Change, Format, Rewritten
from otel_agentcost.wire.rewriting import copied
from otel_agentcost.wire.within import Within

__all__ = ["Edit", "Edited", "NothingToEdit"]

_NO_HEADERS: Final[Mapping[str, str]] = {}


class Edit(NamedTuple):
    """A change of one request."""

    body: Callable[[dict[str, Any], str], dict[str, Any] | None]
    """Returns the changed body, from a copy of the body and the path; None if there is nothing to change. The values
    in the copy are those of the application: they stay as they are."""
    headers: Mapping[str, str] = _NO_HEADERS
    """Headers that the changed request needs. Values of the application are kept, and these are added to them."""
    applied: Callable[[], object] | None = None
    """Called when the request has been changed."""


class NothingToEdit(CannotRewrite):
    """The edit leaves the body as it is."""


class Edited(Within):
    """A format whose `rewrite` makes an edit."""

    def __init__(self, inner: Format, edit: Edit) -> None:
        """Create the format.

        Args:
            inner: The format of the request.
            edit: The change.
        """
        super().__init__(inner)
        self._edit = edit

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the edited body, and the path. Raises `CannotRewrite`."""
        del change
        body = self._edit.body(copied(call), path)
        if body is None:
            raise NothingToEdit
        return body, path
