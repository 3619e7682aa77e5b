"""The interface of a wire format: what it reads from requests and responses, and its facets.

A facet is an optional object that a format carries for one use: `content` for content capture, `conversation` for loop
detection, `input_bound` and `prompt_tokens` for estimates before the call, `rewriting` for changed requests,
`batches` for what a provider does later, `bill_labels` for labels in its bill. The code that needs a facet takes it
from the format; it never asks which format that is. A format without a facet is still priced; `without_facet` logs once
what is not available for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from otel_agentcost.core.call import Answer, Call, Endpoint
from otel_agentcost.core.loops import Item, ToolCall
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.wire.batch_api import BatchApi

__all__ = [
    "UNBOUNDED",
    "AnswerReader",
    "BillLabels",
    "CannotRewrite",
    "Change",
    "Content",
    "Conversation",
    "Format",
    "InputBound",
    "Labels",
    "Message",
    "ModelRequest",
    "Part",
    "PromptTokens",
    "Rewriting",
    "Rewritten",
    "Shape",
    "SoFar",
    "Transcript",
    "without_facet",
]

Part = dict[str, Any]
"""One part of a message in the form of the GenAI conventions: `{"type": "text", "content": "Hello"}`."""
Message = dict[str, Any]
"""One message in the form of the GenAI conventions: `{"role": "user", "parts": [...]}`."""
Rewritten = tuple[dict[str, Any], str]
"""The body and the path of a changed request."""


class CannotRewrite(Exception):
    """A request cannot be changed as needed. The text gives the reason ("its body is no JSON object").

    `Format.rewrite` and the seams raise it on purpose; the package catches it, applications never see it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The changes to make in a request before it is sent."""

    model: str | None = None
    """The new model; None keeps the model of the request."""
    max_output_tokens: int | None = None
    """The highest output limit per choice, in tokens; None keeps the limit. A lower limit in the request stays."""
    provider: str = ""
    """The provider that receives the request (`gen_ai.provider.name`)."""
    known: bool = True
    """True if the address identifies the provider; False if only the SDK does."""


# --- Streams ----------------------------------------------------------------------------------------------------------


class SoFar(NamedTuple):
    """The output of a stream up to now, as far as the provider bills it."""

    texts: list[str]
    """Every piece of text in order (words, refusals, reasoning, tool calls, all choices). Grows with the stream."""
    tokens: int = 0
    """The output tokens that the stream itself reports up to now; 0 if it reports none yet."""
    ended: bool = False
    """True if the answer is complete: the provider sends no more output."""


class AnswerReader(Protocol):
    """Reads the events of one stream in order, while they pass to the application."""

    def feed(self, event: Any, /) -> None:
        """Read one event. Runs for every chunk, so all work that can wait belongs in `answer`.

        Args:
            event: A parsed event: the SDK's object, or JSON.

        """
        ...

    def so_far(self) -> SoFar:
        """Return the output up to now; no text for formats whose output is no text.

        Runs after every event of a stream with an output limit to enforce, and for no other stream.
        """
        ...

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to.

        Args:
            complete: True if the application read the stream to its end.

        Returns:
            The usage, model and finish reasons of the events. Usage that the provider did not send is estimated, and
            marked as such.

        """
        ...


class Transcript(Protocol):
    """Collects the events of one stream into one response, for content capture."""

    def feed(self, event: Any, /) -> None:
        """Read one event."""
        ...

    def response(self) -> Any:
        """Return the events up to now in the shape of a whole response of the format."""
        ...


# --- Facets -----------------------------------------------------------------------------------------------------------


class Content(Protocol):
    """Facet for content capture: messages in the form of the GenAI conventions.

    `wire.content` renders the results as JSON and catches what these methods raise. `wire.content` also has builders
    for parts. Media are named by kind or address, never copied.
    """

    def system_instructions(self, body: Any, /) -> Iterable[Part]:
        """Yield the instructions that a request gives outside its messages."""
        ...

    def tool_definitions(self, body: Any, /) -> Iterable[Mapping[str, Any]]:
        """Yield the tools that a request offers."""
        ...

    def input_messages(self, body: Any, /) -> Iterable[Message]:
        """Yield the messages of a request."""
        ...

    def output_messages(self, response: Any, /) -> Iterable[Message]:
        """Yield the messages of a whole response, each with its `finish_reason`."""
        ...

    def transcript(self) -> Transcript:
        """Return a new collector for the events of one stream."""
        ...


class Conversation(Protocol):
    """Facet for loop detection: the history that a request carries.

    `wire.conversation_items.MessageList` implements most of it for histories that are a list in one field of the body.
    """

    def messages(self, body: Any, /) -> Sequence[Any]:
        """Return the messages of a request, oldest first."""
        ...

    def read(self, message: Any, items: list[Item], /) -> None:
        """Append the tool calls, tool results and texts of one message to `items`."""
        ...

    def fingerprint(self, message: Any, /) -> int:
        """Return a number that is equal for equal messages, at a cost that does not depend on their length."""
        ...

    def by_model(self, message: Any, /) -> bool:
        """Return True if the model wrote the message."""
        ...

    def is_instruction(self, message: Any, /) -> bool:
        """Return True if the message instructs the model (a system prompt), and may change with every request."""
        ...

    def continues(self, body: Any, /) -> bool:
        """Return True if the request continues a conversation that the provider stores."""
        ...

    def is_stored(self, body: Any, /) -> bool:
        """Return True if the provider may store the answer, so that the next request need not repeat it."""
        ...

    def tool_calls(self, response: Any, /) -> list[ToolCall]:
        """Return the tool calls in a whole response; read only where `is_stored` is true."""
        ...


class Shape(NamedTuple):
    """The facts about a request that bound its cost, read once per call."""

    bound: int | None
    """The provider cannot count more input tokens than this; None if the request does not limit them."""
    caches: bool = False
    """True if the request may write to a cache that it must request."""
    sounds: bool = False
    """True if the input may contain audio."""
    outputs: frozenset[str] = frozenset()
    """Output modalities besides text that the request enables: "audio", "image"."""
    characters: int = 0
    """The characters of the one text that the input is (a text to speak), for models billed by the character."""


UNBOUNDED = Shape(bound=None, caches=True, sounds=True)
"""The shape of a request about which nothing is known."""


class InputBound(Protocol):
    """Facet for budgets: an upper bound of the input, worked out quickly from the request.

    `wire.input_bound.BodyBound` implements it for JSON bodies.
    """

    def shape(self, body: Any, /) -> Shape:
        """Return the facts about a request that bound its cost."""
        ...

    def image_count(self, body: Any, /) -> int:
        """Return the number of images in a request."""
        ...


class PromptTokens(Protocol):
    """Facet for estimates: the approximate number of input tokens of a request.

    `wire.prompt_tokens.PromptFields` implements it for JSON bodies.
    """

    def count(self, body: Any, model: str | None, /, *, raw: bool = False) -> int:
        """Estimate the input tokens of a request.

        Args:
            body: The body of the request.
            model: The model that reads the prompt; it selects the vocabulary.
            raw: True for requests that are no conversation (embeddings, legacy completions).

        Returns:
            The number of tokens; 0 if the body has no text.
        """
        ...


class Rewriting(Protocol):
    """Facet for the budget actions `downgrade` and `clamp`: changes a request before it is sent.

    `wire.rewriting.FieldRewriting` implements it for bodies with a model and an output limit.
    """

    def rewrite(self, call: Call, path: str, change: Change, /) -> Rewritten:
        """Return the body and the path of the request that `call` was read from, with `change` applied.

        Both are new objects where they differ: the application's own objects stay unchanged.

        Raises:
            CannotRewrite: The request has no place for the change.
        """
        ...


Labels = Mapping[str, str]
"""Labels for a bill: `team`, `feature` and so on, with their values."""


class BillLabels(Protocol):
    """Facet for labels that the provider's bill or logs are to have.

    `wire.bill_labels.LabelMap` implements it for labels that are an object in one field of the body.
    """

    def labelled(
        self, body: Mapping[str, Any], path: str, target: Endpoint, labels: Labels, /
    ) -> dict[str, Any] | None:
        """Return a copy of a body with labels; None if nothing is to be written.

        Args:
            body: The JSON body, which stays as it is.
            path: The path of the URL.
            target: The address.
            labels: The labels, of which those that the provider refuses are left out.
        """
        ...


# --- The format -------------------------------------------------------------------------------------------------------


class Format(ABC):
    """One wire format. Subclass it, and call one instance of the subclass `FORMAT`.

    A module with a `FORMAT` is found in this folder by its name, or through an entry point of the group
    `otel_agentcost.formats`. This is a whole format, for a provider that wraps chat completions in an object::

        from otel_agentcost.wire.fields import get
        from otel_agentcost.wire.openai_chat import Chat

        class Acme(Chat):
            def read_response(self, call, response):
                return super().read_response(call, get(response, "result"))

        FORMAT = Acme()

    Three methods are required; facets are optional, and a subclass inherits them. A format with nothing to offer for a
    facet (embeddings have no conversation) sets `NO_CONTENT` or `NO_CONVERSATION` of `wire.no_facets`; then nothing is
    logged.
    """

    content: Content | None = None
    conversation: Conversation | None = None
    input_bound: InputBound | None = None
    prompt_tokens: PromptTokens | None = None
    rewriting: Rewriting | None = None
    batches: BatchApi | None = None
    bill_labels: BillLabels | None = None

    def of(self, body: Any) -> Format:  # noqa: ARG002 (most formats have one form)
        """Return the format of a request: another one where a path takes bodies of several formats.

        Args:
            body: The JSON body of the request.

        Returns:
            The format that reads the request and its response.

        """
        return self

    @abstractmethod
    def read_request(self, body: Any, path: str) -> Call:
        """Read a request.

        Args:
            body: The JSON body, as the SDK has it.
            path: The path of the URL, with or without the part that the client adds to every path.

        Returns:
            The operation, the model, the output limit and the other facts of the request.

        """

    @abstractmethod
    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole (not streamed) response.

        Args:
            call: The request, as `read_request` returned it.
            response: The response: JSON, or the SDK's object for it.

        Returns:
            The usage, model and finish reasons of the response.

        """

    @abstractmethod
    def open_stream(self, call: Call) -> AnswerReader:
        """Begin to read a stream.

        Args:
            call: The request that the stream answers, as `read_request` returned it.

        Returns:
            A reader for the events of this one stream.

        """

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Change a request through the facet `rewriting`.

        Args:
            call: The request, as `read_request` returned it.
            path: The path of its URL.
            change: The new model and output limit.

        Returns:
            The body and the path to send; new objects where they differ from those of the application.

        Raises:
            CannotRewrite: The format has no such facet, or the request has no place for the change.
        """
        rewriting = self.rewriting
        if rewriting is None:
            without_facet(self, "rewriting", "budgets cannot downgrade or clamp its calls")
            raise CannotRewrite("requests of its wire format cannot be changed")
        return rewriting.rewrite(call, path, change)


def without_facet(form: Format, facet: str, consequence: str) -> None:
    """Log once that `form` has no such facet, and the consequence for its calls."""
    kind = type(form)
    name = f"{kind.__module__}.{kind.__qualname__}"
    warn_once(f"{name} has no {facet}", f"otel-agentcost: the wire format {name} has no {facet!r} facet: {consequence}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model call, as a seam reads it from the arguments of an SDK."""

    call: Call
    endpoint: Endpoint
    format: Format
