"""`FakeModel`: answers the requests of the real SDKs, in the process and without a network or a key.

    model = FakeModel(Answer("Forty-two.", input_tokens=1000, output_tokens=5))
    client = model.openai()              # a real openai.OpenAI, whose HTTP transport is the model
    client.chat.completions.create(...)

The SDK builds the request and parses the answer as it does in production; only the transport is replaced. SDKs and
their HTTP libraries are imported when a client is made.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast
from urllib.parse import urlsplit

from otel_agentcost.testing import dialects
from otel_agentcost.testing.answers import Answer, BadRequest, Failure, ModelRequest, Tokens, ToolCall, Turn
from otel_agentcost.testing.server import ModelServer, Reply, Request, json_reply, sse_reply
from otel_agentcost.wire.tokenizers import rule_of_thumb

__all__ = ["FakeModel", "reply_to"]

Responder = Callable[[ModelRequest], "Answer | Failure | str"]

_KEY = "no-key-needed"


class FakeModel:
    """A model that gives the answers that a test wants, to any number of clients of any SDK.

    Args:
        answers: One for each request, in this order; the last one answers all further requests. A text stands for
            `Answer(text)`. A function gets the `ModelRequest` and returns the answer.

    Example:
        model = FakeModel(Answer(tools=(ToolCall("search", {"query": "bees"}),)), "Bees shiver.")

    """

    def __init__(self, *answers: Answer | Failure | str | Responder) -> None:
        self.requests: list[ModelRequest] = []
        """The requests that arrived, retries by the SDK included, in order."""
        self._answers = list(answers) or [Answer("Fine.")]
        self._google: list[Any] = []  # such a client closes its transport when it is collected, in mid-expression too
        self._lock = threading.Lock()

    def answers(self, *answers: Answer | Failure | str | Responder) -> None:
        """Replace the answers that are still to come.

        Args:
            answers: One for each request, as in the constructor.

        """
        with self._lock:
            self._answers = list(answers)

    # --- real clients of the SDKs ---

    def openai(self, **options: Any) -> Any:
        """Return an `openai.OpenAI` that asks this model.

        Args:
            options: Further arguments of the constructor of `openai.OpenAI`; they override this model's own.

        Raises:
            ImportError: The SDK is not installed.

        """
        return self._client("openai", "OpenAI", self.http_client("openai"), options)

    def async_openai(self, **options: Any) -> Any:
        """Return an `openai.AsyncOpenAI` that asks this model.

        Args:
            options: Further arguments of the constructor of `openai.AsyncOpenAI`; they override this model's own.

        Raises:
            ImportError: The SDK is not installed.

        """
        return self._client("openai", "AsyncOpenAI", self.async_http_client("openai"), options)

    def anthropic(self, **options: Any) -> Any:
        """Return an `anthropic.Anthropic` that asks this model.

        Args:
            options: Further arguments of the constructor of `anthropic.Anthropic`; they override this model's own.

        Raises:
            ImportError: The SDK is not installed.

        """
        return self._client("anthropic", "Anthropic", self.http_client("anthropic"), options)

    def async_anthropic(self, **options: Any) -> Any:
        """Return an `anthropic.AsyncAnthropic` that asks this model.

        Args:
            options: Further arguments of the constructor of `anthropic.AsyncAnthropic`; they override this model's own.

        Raises:
            ImportError: The SDK is not installed.

        """
        return self._client("anthropic", "AsyncAnthropic", self.async_http_client("anthropic"), options)

    def google(self, **options: Any) -> Any:
        """Return a `google.genai.Client`, sync and `.aio`, that asks this model.

        Args:
            options: Further arguments of the constructor of `google.genai.Client`; they override this model's own.

        Raises:
            ImportError: The SDK is not installed.

        """
        given = {"vertexai": False, "api_key": _KEY, "http_options": self.http_options(), **options}
        client = import_module("google.genai").Client(**given)
        self._google.append(client)
        return client

    # --- for clients that the application makes ---

    def http_client(self, sdk: str) -> Any:
        """Return an HTTP client for the argument `http_client` of an SDK's sync client.

        Args:
            sdk: `openai` or `anthropic`.

        Returns:
            An `httpx.Client` or an `httpx2.Client`, whichever the installed release of the SDK uses.

        Raises:
            ImportError: The SDK is not installed.

        """
        library = _http_library(sdk)
        return import_module(library).Client(transport=_transports(library)[0](self.reply))

    def async_http_client(self, sdk: str) -> Any:
        """Return an HTTP client for the argument `http_client` of an SDK's async client.

        Args:
            sdk: `openai` or `anthropic`.

        Returns:
            An `httpx.AsyncClient` or an `httpx2.AsyncClient`, whichever the installed release of the SDK uses.

        Raises:
            ImportError: The SDK is not installed.

        """
        library = _http_library(sdk)
        return import_module(library).AsyncClient(transport=_transports(library)[1](self.reply))

    def http_options(self) -> dict[str, Any]:
        """Return the `http_options=` of a `google.genai.Client`."""
        sync, asynchronous = _transports(_http_library("google.genai._api_client"))
        return {
            "client_args": {"transport": sync(self.reply)},
            "async_client_args": {"transport": asynchronous(self.reply)},
        }

    def server(self) -> ModelServer:
        """Return a local HTTP server that gives this model's answers, for other processes. Enter it with `with`."""
        server = ModelServer()
        server.responder = self.reply
        return server

    # --- answering ---

    def reply(self, request: Request) -> Reply:
        """Answer an HTTP request in the format that its path implies.

        Args:
            request: A request as an SDK sends it: method, path, headers, body.

        Returns:
            The response: status, headers, and the body in one piece or as the pieces of a stream.

        """
        return reply_to(request, self._turn)

    def _turn(self, request: ModelRequest) -> Turn | Failure:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Failure):
            return answer
        return _turn(request, Answer(answer) if isinstance(answer, str) else answer, number)

    @staticmethod
    def _client(package: str, name: str, http_client: Any, options: dict[str, Any]) -> Any:
        kind = getattr(import_module(package), name)
        return kind(**{"api_key": _KEY, "max_retries": 0, "http_client": http_client, **options})


def reply_to(request: Request, answer: Callable[[ModelRequest], Turn | Failure]) -> Reply:
    """Return the HTTP response to an HTTP request, in the format that its path implies.

    Args:
        request: The request of an SDK. A path of no known format is answered with 404, a bad body with 400.
        answer: Decides what the model answers.

    """
    path = urlsplit(request.path).path
    dialect = dialects.find(path)
    if dialect is None:
        return json_reply(dialects.openai_chat.DIALECT.error(404, f"No such path here: {path}"), status=404)
    try:
        model_request = dialect.read(_json_object(request.body), path)
    except (ValueError, BadRequest) as error:
        return json_reply(dialect.error(400, str(error)), status=400)
    turn = answer(model_request)
    if isinstance(turn, Failure):
        return json_reply(dialect.error(turn.status, turn.message), status=turn.status, headers=turn.headers)
    if model_request.stream:
        return sse_reply(dialect.events(model_request, turn), named=dialect.named, done=dialect.done)
    return json_reply(dialect.whole(turn))


def _turn(request: ModelRequest, answer: Answer, number: int) -> Turn:
    words = [answer.text, *(f"{tool.name} {json.dumps(tool.arguments)}" for tool in answer.tools)]
    prompt, output = answer.input_tokens, answer.output_tokens
    return Turn(
        id=str(number),
        model=answer.model or request.model,
        text=answer.text,
        tools=tuple(
            ToolCall(tool.name, tool.arguments, tool.id or f"call_{number}_{index}")
            for index, tool in enumerate(answer.tools, start=1)
        ),
        tokens=Tokens(
            prompt=sum(map(rule_of_thumb, request.prompt)) if prompt is None else prompt,
            output=sum(map(rule_of_thumb, words)) if output is None else output,
            cache_read=answer.cache_read_tokens,
            cache_write=answer.cache_write_tokens,
            reasoning=answer.reasoning_tokens,
        ),
    )


def _json_object(body: bytes) -> dict[str, Any]:
    value: object = json.loads(body)
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object.")
    return cast("dict[str, Any]", value)


def _http_library(sdk: str) -> str:
    """Return the HTTP library that the module `sdk` uses: `httpx2` since 2026, `httpx` before."""
    module = import_module(sdk)
    kinds: tuple[type, ...] = getattr(getattr(module, "DefaultHttpxClient", object), "__mro__", ())
    used = {kind.__module__.partition(".")[0] for kind in kinds}
    return "httpx2" if "httpx2" in used or getattr(module, "httpx2", None) is not None else "httpx"


def _transports(library: str) -> tuple[Any, Any]:
    """Return the sync and the async transport of `library`."""
    from otel_agentcost.testing.transports import transports  # noqa: PLC0415 (for those who have an SDK)

    return transports(library)
