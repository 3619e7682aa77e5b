"""Requests and answers that may be kept. Every rule returns its reason, for people.

When in doubt, no: a request that is not cached costs what it costs without this package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer
from otel_agentcost.wire.format import ModelRequest

Sampling = Literal["deterministic", "unset", "any"]
"""Which temperatures may be cached: 0 alone; 0 or none; any."""

FORMATS: Final = frozenset(
    {
        "anthropic_messages",
        "bedrock_converse",
        "bedrock_invoke",
        "bedrock_text",
        "cohere",
        "gemini",
        "litellm",
        "mistral_embeddings",
        "ollama",
        "openai_chat",
        "openai_completions",
        "openai_embeddings",
        "openai_responses",
    }
)
"""Wire formats whose requests contain everything that the answer depends on."""

OPERATIONS: Final = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT, semconv.EMBEDDINGS})

_STATE: Final = (
    "assistant_id",
    "background",
    "cachedContent",
    "cached_content",
    "container",
    "conversation",
    "conversation_id",
    "preset",
    "previous_response_id",
    "prompt",
    "promptVariables",
    "session_id",
    "thread_id",
)
"""Fields that refer to what the provider keeps, which may change."""

_SERVER_TOOLS: Final = (
    "connectors",
    "data_sources",
    "enable_search",
    "enable_web_search",
    "mcp_servers",
    "plugins",
    "search_parameters",
    "web_search",
    "web_search_options",
)
"""Fields that let the provider search or run something."""

_SEARCHING: Final = re.compile(r"search|sonar|compound|deep-research|:online|@preset/|^arn:", re.IGNORECASE)
"""Names of models that search by themselves, and names behind which another model may be later."""

_ELSEWHERE: Final = re.compile(
    # It begins with the quote that all of these begin with: only so the search is quick.
    r'"(?:(?:file_ids?|fileIds?|file_uri|fileUri|s3Location|gcsUri|vector_store_ids|cachedContent|cached_content)":'
    r'|(?:url|uri|image_url|imageUrl|video_url|audio_url|file_url)":"(?!data:)'
    r'|(?:image|document|video)_?[uU]rl":\{"url":"(?!data:)'
    # any text that is an address as a whole, and names of Amazon's resources
    r'|(?<!"\$schema":")(?<!"\$id":")(?:\s|\\[nrt])*(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^"\s\\]|\\\\)+|arn:(?:[^"\s\\])+)'
    r'(?:\s|\\[nrt])*"'
    # ids of anything but tool calls, users and models; a schema says what a field of such a name is, which is an object
    r'|(?!(?:tool_call_id|call_id|tool_use_id|toolUseId|toolCallId|function_call_id|user_id|userId|model_id|modelId)")'
    r'[A-Za-z0-9_-]*(?:_ids?|[a-z]Ids?)":(?!\{|null)'
    r'|(?:[A-Za-z0-9_-]*_)?(?:files?|attachments?)":(?!\{|null|\[\])'
    r'|(?:[A-Za-z0-9_-]*_)?(?:audio|file|attachment|image|video|document)":'
    r'\{(?:[^{}"]|"[^"\\]*(?:\\.[^"\\]*)*"(?!:)|"(?!id")[^"\\]*(?:\\.[^"\\]*)*":)*"id":'
    # a model that searches, a preset, a draft
    r'|[^"\s]*:online"|@preset/|guardrailVersion":"DRAFT")'
)
"""Content that is kept elsewhere, and may change there, in the canonical text. Quotes in texts are escaped."""

_FINISHED: Final = frozenset(
    {"stop", "end_turn", "stop_sequence", "complete", "completed", "eos", "eos_token", "finish"}
)
_CALLING: Final = frozenset({"tool_calls", "tool_use", "function_call", "tool_call"})

_REFUSAL: Final = re.compile(rb'"refusal"\s*:\s*"|"type"\s*:\s*"(?:response\.)?refusal|"block_?[rR]eason"\s*:')
_ERROR: Final = re.compile(
    rb'"errors?"\s*:(?!\s*(?:null|\[\s*\]))|"type"\s*:\s*"(?:error|response\.failed)"|^event:[ ]?error|:exception-type',
    re.MULTILINE,
)
"""An error in a stream."""
_TOOL_CALL: Final = re.compile(
    rb'"(?:functionCall|function_call|toolUse|tool_plan)"\s*:\s*\{|"tool_calls"\s*:\s*\[\s*\{'
    rb'|"type"\s*:\s*"(?:tool_use|[a-z_]*_call)"'
)
_PROVIDER_RAN: Final = re.compile(
    rb'"type"\s*:\s*"(?:server_tool_use|web_search_tool_result|mcp_tool_use|container_upload)"|"groundingMetadata"\s*:'
)


def format_name(request: ModelRequest) -> str:
    """Return the name of the wire format of a request."""
    return type(request.format).__module__.removeprefix("otel_agentcost.wire.").partition(".")[0]


def no_request(request: ModelRequest, sampling: Sampling) -> str | None:
    """Return why answers to a request are not kept; None if they may be."""
    call, name = request.call, format_name(request)
    body: Any = call.body
    if call.operation not in OPERATIONS or name not in FORMATS:
        return "its kind of call is not cached"
    if not isinstance(body, Mapping):
        return "its body is not at hand"
    if call.choices != 1:
        return "it asks for several answers"
    if call.model is None or _SEARCHING.search(call.model) or "perplexity" in request.endpoint.provider:
        return "its model may search by itself, or be another one later"
    return _sampled(call, sampling) or _of_body(cast("Mapping[str, Any]", body), name)


def _sampled(call: Any, sampling: Sampling) -> str | None:
    if sampling == "any" or call.operation == semconv.EMBEDDINGS:
        return None
    temperature = call.parameters.get(semconv.REQUEST_TEMPERATURE)
    if temperature is None:
        return None if sampling == "unset" else "it sets no temperature"
    return "its temperature is above 0" if temperature else None


def _of_body(body: Mapping[str, Any], name: str) -> str | None:
    if body.get("store") or (name == "openai_responses" and body.get("store") is not False):
        return "the provider stores its answer"
    legacy = name in ("openai_completions", "ollama", "bedrock_text", "bedrock_invoke", "litellm")
    for field in _STATE:
        if body.get(field) and not (field == "prompt" and legacy):
            return f"`{field}` refers to what the provider keeps"
    for field in _SERVER_TOOLS:
        if body.get(field):
            return f"`{field}` lets the provider search"
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        return "its answer is audio, which the provider keeps for a while"
    return _of_tools(body)


def _of_tools(body: Mapping[str, Any]) -> str | None:
    config = body.get("config")
    more = body.get("additionalModelRequestFields")
    holders: list[Any] = [body, body.get("toolConfig"), more, config if isinstance(config, Mapping) else None]
    for holder in holders:
        tools = cast("Mapping[str, Any]", holder).get("tools") if isinstance(holder, Mapping) else None
        if tools is not None and not (isinstance(tools, (list, tuple)) and all(map(_is_own, cast("list[Any]", tools)))):
            return "a tool of the provider may run"
    return None


def _is_own(tool: Any) -> bool:
    """Return True for a tool that the application runs."""
    if not isinstance(tool, Mapping):
        return False
    fields = cast("Mapping[str, Any]", tool)
    kind = fields.get("type")
    if kind is not None:
        return kind in ("function", "custom")
    names = {name for name, value in fields.items() if value is not None}
    return bool(names) and names <= _OWN_TOOL


_OWN_TOOL: Final = frozenset(
    {
        "cache_control",
        "cachePoint",
        "description",
        "function",
        "functionDeclarations",
        "function_declarations",
        "input_schema",
        "name",
        "parameter_definitions",
        "strict",
        "toolSpec",
    }
)


def refers_elsewhere(text: str) -> bool:
    """Return True if a canonical body has file ids or addresses, behind which something else may be later."""
    return _ELSEWHERE.search(text) is not None


def no_answer(answer: Answer, body: bytes, operation: str, *, tool_calls: bool) -> str | None:
    """Return why an answer is not kept; None if it may be.

    Args:
        answer: The answer, as it was read.
        body: Its bytes.
        operation: The operation of the request.
        tool_calls: True if answers that call tools may be kept.
    """
    if answer.usage is None or answer.usage.estimated or answer.missing is not None or answer.doubtful:
        return "its usage is missing"
    reasons = {reason.lower() for reason in answer.finish_reasons}
    allowed = _FINISHED | _CALLING if tool_calls else _FINISHED
    if answer.goes_on or not reasons <= allowed or (not reasons and operation != semconv.EMBEDDINGS):
        return f"it ended with {', '.join(sorted(reasons)) or 'no reason'}"
    found = {
        _ERROR: "it has an error",
        _REFUSAL: "it is a refusal",
        _PROVIDER_RAN: "a tool of the provider ran",
        _TOOL_CALL: "it calls a tool",
    }
    if tool_calls:
        del found[_TOOL_CALL]
    return next((why for pattern, why in found.items() if pattern.search(body)), None)
