"""Writes labels into a request, for the provider's bill or its logs. The facet `bill_labels`, and its parts.

No object of the application is changed, none of its own labels is replaced, and a label that breaks a rule of the
provider is left out: a request that the provider refuses would be worse than a label that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from otel_agentcost.core.call import Endpoint
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.wire.format import Labels

__all__ = ["LabelMap", "UserId", "ends_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """The facet for providers that take an object of labels in one field."""

    field: str
    provider: str
    """The one provider that takes it: others have taken over its format, but not the labels."""
    most: int
    """The most labels of a request."""
    longest: int
    """The most characters of a value."""
    fits: Callable[[str], bool]
    """Returns True for a character that a value may have."""
    applies: Callable[[Mapping[str, Any], str], bool]
    """Returns True for a body and a path of the URL that take the field."""
    lower: bool = False
    """True if values are in lower case."""
    known: bool = True
    """True if the address has to be the provider's own."""

    def labelled(self, body: Mapping[str, Any], path: str, target: Endpoint, labels: Labels) -> dict[str, Any] | None:
        """Return a copy of the body with the labels that it lacks; None if there is nothing to write."""
        if target.provider != self.provider or (self.known and not target.known) or not self.applies(body, path):
            return None
        own = _own(body, self.field)
        if own is None:
            return None
        added = {name: value for name, value in self._fitted(labels).items() if name not in own}
        if len(own) + len(added) > self.most:
            _left_out(", ".join(added), self.provider, f"a request has {self.most} labels at most")
            return None
        return {**body, self.field: {**own, **added}} if added else None

    def _fitted(self, labels: Labels) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in labels.items():
            fitted = "".join(self._character(sign) for sign in (value.lower() if self.lower else value))
            if not all(map(self.fits, fitted)):
                _left_out(name, self.provider, "its value has letters that the provider refuses")
            elif len(fitted) > self.longest:
                _left_out(name, self.provider, f"its value has more than {self.longest} characters")
            elif fitted:
                found[name] = fitted
        return found

    def _character(self, sign: str) -> str:
        """Return `_` for spaces and signs that do not fit. Letters are kept: values must not become the same."""
        return sign if self.fits(sign) or sign.isalnum() else "_"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserId:
    """The facet for providers that take the id of a user, and no other label."""

    field: str
    name: str
    """The name of the id within the field."""
    provider: str
    longest: int
    ending: str
    """The end of the paths that take it."""

    def labelled(self, body: Mapping[str, Any], path: str, target: Endpoint, labels: Labels) -> dict[str, Any] | None:
        """Return a copy of the body with the user's id; None if there is nothing to write."""
        user = labels.get("user")
        if target.provider != self.provider or not target.known or not user or not ends_in(path, self.ending):
            return None
        own = _own(body, self.field)
        if own is None or self.name in own:
            return None
        if len(user) > self.longest:
            _left_out("user", self.provider, f"its value has more than {self.longest} characters")
        elif not _is_opaque(user):
            _left_out("user", self.provider, "its value looks like a name, a mail address or a telephone number")
        else:
            return {**body, self.field: {**own, self.name: user}}
        return None


def ends_in(path: str, ending: str) -> bool:
    """Return True if the path of a URL ends so, without its query."""
    return path.partition("?")[0].rstrip("/").endswith(ending)


_ABSENT: Final = frozenset({"NotGiven", "Omit"})
"""Names of the types with which SDKs say that a field is not sent."""


def _own(body: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """Return the labels that the application has set; None if it has set something else, which is left alone."""
    if field not in body or type(body[field]).__name__ in _ABSENT:
        return {}
    own: Any = body[field]
    return cast("Mapping[str, Any]", own) if isinstance(own, Mapping) else None


_OF_NUMBERS: Final = frozenset("+()- ./0123456789")


def _is_opaque(user: str) -> bool:
    """Return False for what may be a mail address, a name of several words, or a telephone number."""
    number = user[:1] in ("+", "(") or any(sign in user for sign in "-(./")
    return "@" not in user and not any(map(str.isspace, user)) and not (number and _OF_NUMBERS.issuperset(user))


def _left_out(label: str, provider: str, why: str) -> None:
    warn_once(
        f"bill label: {label} {provider} {why}",
        f"otel-agentcost: the label {label} is left out of requests to {provider}, because {why}. "
        "OTEL_AGENTCOST_BILL_LABELS names the labels.",
    )


# --- The rules of providers -------------------------------------------------------------------------------------------

_GOOGLE: Final = frozenset({"Ll", "Lo", "Nd", "Nl", "No"})


def _of_google(sign: str) -> bool:
    if sign.isascii():
        return sign in "_-" or sign.isdigit() or sign.islower()
    import unicodedata  # noqa: PLC0415 (seldom needed)

    return unicodedata.category(sign) in _GOOGLE


def _generates(_body: Mapping[str, Any], path: str) -> bool:
    return path.partition("?")[0].endswith((":generateContent", ":streamGenerateContent"))


VERTEX: Final = LabelMap(
    field="labels",
    provider="gcp.vertex_ai",
    most=64,
    longest=63,
    fits=_of_google,
    applies=_generates,
    lower=True,
    known=False,
)
"""https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls. The Gemini API has none."""

_OF_BEDROCK: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 :_@$#=/+,-."
)  # `[a-zA-Z0-9\s:_@$#=/+,-.]` in botocore's model

CONVERSE: Final = LabelMap(
    field="requestMetadata",
    provider="aws.bedrock",
    most=16,
    longest=256,
    fits=_OF_BEDROCK.__contains__,
    applies=lambda _body, path: ends_in(path, "/converse") or ends_in(path, "/converse-stream"),
    known=False,
)
"""https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html: in the logs of invocations."""


def _is_stored_chat(body: Mapping[str, Any], path: str) -> bool:
    return body.get("store") is True and ends_in(path, "/chat/completions")


def _is_stored_response(body: Mapping[str, Any], path: str) -> bool:
    return body.get("store") is not False and ends_in(path, "/responses")


_OPENAI: Final = {"field": "metadata", "provider": "openai", "most": 16, "longest": 512, "fits": str.isprintable}
CHAT: Final = LabelMap(**cast("Any", _OPENAI), applies=_is_stored_chat)
"""https://platform.openai.com/docs/api-reference/chat/create: refused where the answer is not stored."""
RESPONSES: Final = LabelMap(**cast("Any", _OPENAI), applies=_is_stored_response)
"""https://platform.openai.com/docs/api-reference/responses/create: stored unless `store` is false."""

MESSAGES: Final = UserId(field="metadata", name="user_id", provider="anthropic", longest=256, ending="/messages")
"""https://platform.claude.com/docs/en/api/messages: an opaque id; a mail address is refused with 400."""
