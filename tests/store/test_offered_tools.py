"""The tools that a request offers, in the forms of the providers."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest

from otel_agentcost.store import fingerprints
from otel_agentcost.store.offered_tools import definitions

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
CHAT = {"type": "function", "function": {"name": "search", "parameters": SCHEMA}}
RESPONSES = {"type": "function", "name": "search", "parameters": SCHEMA}
ANTHROPIC = {"name": "search", "input_schema": SCHEMA}
CONVERSE = {"toolSpec": {"name": "search", "inputSchema": {"json": SCHEMA}}}
GEMINI = {"name": "search", "parameters": SCHEMA}


def length(value: object) -> int:
    return len(json.dumps(value))


@pytest.mark.parametrize(
    ("body", "definition"),
    [
        ({"tools": [CHAT]}, CHAT),
        ({"tools": [RESPONSES, {"type": "web_search"}]}, RESPONSES),
        ({"functions": [GEMINI]}, GEMINI),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}, ANTHROPIC]}, ANTHROPIC),
        ({"tools": [{**ANTHROPIC, "type": "custom"}]}, {**ANTHROPIC, "type": "custom"}),
        ({"toolConfig": {"tools": [CONVERSE, {"cachePoint": {"type": "default"}}]}}, CONVERSE),
        ({"tools": [{"functionDeclarations": [GEMINI]}, {"googleSearch": {}}]}, GEMINI),
        ({"config": {"tools": [{"function_declarations": [GEMINI]}]}}, GEMINI),
    ],
)
def test_tools_are_found_in_every_form(body: dict[str, Any], definition: dict[str, Any]) -> None:
    """Those of the application, with the size of their definition."""
    assert definitions(body, length) == (("search", length(definition)),)


def test_objects_of_an_sdk_are_tools_too() -> None:
    """As the configuration of google-genai may be."""
    config = SimpleNamespace(tools=[SimpleNamespace(function_declarations=[SimpleNamespace(name="search")])])
    assert definitions({"config": config}, lambda _value: 7) == (("search", 7),)


@pytest.mark.parametrize("tools", [None, "search", [None, 3, "x", {}], {"search": {}}, [{"function": 3}], [[]]])
def test_other_things_are_no_tools(tools: object) -> None:
    """Nothing raises."""
    assert definitions({"tools": tools}, length) == ()
    assert fingerprints.of({"tools": tools, "messages": ["Hi"]}) is not None


def test_a_request_has_the_names_and_the_characters_of_its_tools() -> None:
    """Equal lists have one fingerprint; the order of the fields of a definition does not matter."""
    one, two = fingerprints.of({"tools": [CHAT], "messages": ["Hi"]}), fingerprints.of({"tools": [CHAT, CHAT]})
    same = fingerprints.of({"messages": ["Ho"], "tools": [dict(reversed(CHAT.items()))]})
    assert one is not None
    assert two is not None
    assert same is not None
    compact = len(json.dumps([CHAT], separators=(",", ":")))
    assert one.characters == compact + len('"Hi"')
    assert one.tools is not None
    assert one.tools[1] == (("search", compact - 2),)
    assert one.tools == same.tools != two.tools
    nothing = fingerprints.of({"messages": ["Hi"]})
    assert nothing is not None
    assert nothing.tools is None


_PICTURE = base64.b64encode(bytes(range(256)) * 20).decode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PICTURE}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PICTURE}},
        {"inlineData": {"mimeType": "image/png", "data": _PICTURE.replace("+", "-").replace("/", "_")}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": _PICTURE[:1100]}},
        {"type": "document", "data": base64.encodebytes(bytes(range(256)) * 20).decode()},  # in lines
    ],
)
def test_the_characters_of_a_file_are_not_counted(part: dict[str, Any]) -> None:
    """They say nothing of its tokens, so that those of the request are not known. Its fingerprints are."""
    found = fingerprints.of({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, part]}]})
    assert found is not None
    assert found.characters == 0
    assert found.request is not None


@pytest.mark.parametrize(
    "text", ["a word and another " * 500, "x,y;" * 2_000, "蜂" * 5_000, '{"a":1}' * 1_000, "y" * 499]
)
def test_the_characters_of_a_long_text_are(text: str) -> None:
    """Tables, other scripts and JSON are no files; nor is one long word."""
    found = fingerprints.of({"messages": [{"role": "user", "content": text}]})
    assert found is not None
    assert found.characters >= len(text)
