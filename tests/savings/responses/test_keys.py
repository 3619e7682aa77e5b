"""Which requests are identical."""

from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any

import pytest

from otel_agentcost.core.recorded import Sent
from otel_agentcost.savings.responses import keys
from otel_agentcost.savings.responses.keys import canonical, check_of, key_of
from otel_agentcost.savings.stores import open_store

BODY: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "temperature": 0,
    "messages": [{"role": "user", "content": "Track order 48213"}],
}


@pytest.mark.parametrize("field", sorted(keys.DROPPED | {"n"}))
def test_a_field_that_changes_no_answer_is_dropped(field: str) -> None:
    """Requests that differ in such a field alone are identical."""
    assert canonical({**BODY, field: 1}) == canonical(BODY)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "gpt-4o"},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"n": 2},
        {"stream_options": {"include_usage": True}},
        {"response_format": {"type": "json_object"}},
        {"seed": 7},
        {"service_tier": "flex"},
        {"tools": [{"type": "function", "function": {"name": "pay", "parameters": {"properties": {"user": {}}}}}]},
    ],
    ids=str,
)
def test_any_other_field_makes_another_request(other: dict[str, Any]) -> None:
    """Every other difference may change the answer."""
    assert canonical({**BODY, **other}) != canonical(BODY)


def test_null_is_absent_and_the_order_of_fields_does_not_matter() -> None:
    """Both are the same request to the provider."""
    assert canonical({"stop": None, **dict(reversed(BODY.items()))}) == canonical(BODY)


def test_characters_are_compared_as_they_are() -> None:
    """A question about a character is another one than that about the characters that it is made of."""
    assert canonical({"a": "caf\u00e9"}) != canonical({"a": "cafe\u0301"})
    assert canonical({"a": "\ufa19"}) != canonical({"a": "\u795e"})


def test_arguments_and_schemas_of_tools_are_not_touched() -> None:
    """A field of these names means something else there: dropping it at any depth would serve wrong answers."""

    def asked(**arguments: Any) -> str | None:
        call = {"type": "tool_use", "id": "1", "name": "pay", "input": arguments}
        return canonical({"messages": [{"role": "assistant", "content": [call]}]})

    assert asked(user="alice") != asked(user="bob")
    assert asked(metadata={"a": 1}) != asked(metadata={"a": 2})
    assert asked(store=None) != asked()
    assert asked(cache_control={"x": 1}) != asked()


def test_marks_for_the_providers_prompt_cache_are_dropped_from_messages_and_blocks() -> None:
    """They change what is billed, and no answer."""
    mark = {"cache_control": {"type": "ephemeral"}}
    block: dict[str, Any] = {"type": "text", "text": "Be brief."}
    marked = {"system": [{**block, **mark}], "tools": [{"name": "t", "input_schema": {}, **mark}]}
    plain = {"system": [block], "tools": [{"name": "t", "input_schema": {}}]}
    assert canonical(marked) == canonical(plain)


def test_what_an_answer_repeats_is_not_dropped() -> None:
    """A response of OpenAI's responses API has the metadata and the user of its request."""
    one, other = ({**BODY, "metadata": {"ticket": ticket}} for ticket in ("1", "2"))
    assert canonical(one, "openai_responses") != canonical(other, "openai_responses")
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"bytes"], ids=lambda value: type(value).__name__)
def test_what_is_no_json_has_no_key(value: object) -> None:
    """Such a request is not cached."""
    assert canonical({"messages": value}) is None


def test_parts_cannot_run_into_each_other() -> None:
    """No scope, part or body can look like another one's."""
    assert key_of("a", ["b"], "c") != key_of("ab", [""], "c")
    assert key_of("a", ["b", "c"], "") != key_of("a", ['b", "c'], "")
    assert key_of("a", ["b"], "") != key_of("a", ["b", ""], "")


def sent(**more: Any) -> Sent:
    headers = (("Authorization", "Bearer sk-1"), ("User-Agent", "x"), ("Content-Type", "application/json"))
    return Sent("POST", "https://api.openai.com/v1/chat/completions", headers, b'{"a": 1}')._replace(**more)


@pytest.mark.parametrize(
    "other",
    [
        {"url": "https://api.openai.com/v1/chat/completions?api-version=2"},
        {"url": "https://api.openai.com/v1/responses"},
        {"url": "http://api.openai.com/v1/chat/completions"},
        {"body": b'{"a": 2}'},
        {"headers": (("Authorization", "Bearer sk-2"), ("Content-Type", "application/json"))},
        {"headers": (*sent().headers, ("OpenAI-Organization", "org-2"))},
        {"headers": (*sent().headers, ("X-Customer", "acme"))},
        {"headers": (*sent().headers, ("anthropic-beta", "context-1m"))},
        {"headers": (*sent().headers, ("Cookie", "session=alice"))},
        {"headers": (*sent().headers, ("Host", "model-a.internal"))},
        {"headers": (*sent().headers, ("X-User-Request-Id", "7"))},
        {"headers": (*sent().headers, ("openai-trace-id", "7"))},
        {"headers": (*sent().headers, ("X-Idempotency-Tenant", "7"))},
        {"headers": (*sent().headers, ("X-Stainless-Tenant", "7"))},
        {"through": "own"},
    ],
    ids=str,
)
def test_the_request_that_is_sent_must_be_the_same(other: dict[str, Any]) -> None:
    """The address, the query, the body, the key and headers of the application's own decide."""
    assert check_of(sent(**other)) != check_of(sent())


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"a":1}'},
        {"body": b'{"a": 1, "user": "u1", "stream": true}'},
        {"headers": (*reversed(sent().headers), ("traceparent", "00-1"), ("X-Request-Id", "7"))},
        {"headers": (*sent().headers, ("X-Stainless-Retry-Count", "2"), ("Idempotency-Key", "k"))},
        {"headers": (*sent().headers, ("Cookie", "__cf_bm=1; _cfuvid=2"))},
    ],
    ids=str,
)
def test_what_differs_from_request_to_request_does_not_matter(other: dict[str, Any]) -> None:
    """Ids of requests, traces and retries say nothing of who asks."""
    assert check_of(sent(**other)) == check_of(sent())


def test_a_signature_does_not_matter_but_its_key_does() -> None:
    """A signature for AWS differs with every request."""

    def signed(access_key: str, signature: str) -> str:
        value = f"AWS4-HMAC-SHA256 Credential={access_key}/20260101/eu/bedrock, Signature={signature}"
        return check_of(sent(headers=(("authorization", value), ("x-amz-date", signature))))

    assert signed("AKIA1", "s1") == signed("AKIA1", "s2") != signed("AKIA2", "s1")


def made_up(draw: random.Random) -> dict[str, Any]:
    """A request: few enough that many tenants ask the same."""
    body: dict[str, Any] = {"model": draw.choice(["gpt-4o-mini", "gpt-4o"]), "temperature": 0}
    body["messages"] = [
        {"role": draw.choice(["user", "assistant"]), "content": f"question {draw.randrange(20)}"}
        for _ in range(draw.randrange(1, 3))
    ]
    more = {"user": f"u{draw.randrange(9)}", "metadata": {"a": "1"}, "max_tokens": 9, "n": 1}
    return {**body, **{field: value for field, value in more.items() if draw.random() < 0.3}}


def test_no_answer_crosses_a_tenant_in_100_000_requests() -> None:
    """Each entry that a key finds was asked by the same tenant, with the same words."""
    draw, store, tenants = random.Random(15), open_store("memory://", most_bytes=1 << 30), dict[str, int]()
    for number in range(100_000):
        tenant, body = f"tenant={draw.randrange(50)}", made_up(draw)
        said = {name: body[name] for name in ("model", "messages", "temperature", "max_tokens") if name in body}
        text, own = canonical(body), json.dumps([tenant, said]).encode()
        assert text is not None
        key = key_of(tenant, ("chat",), text)
        found = store.get(key, number)
        if found is None:
            store.put(key, tenant, own, number, number + 1e9)
            tenants[tenant] = tenants.get(tenant, 0) + 1
        else:
            assert found.value == own
    assert len(tenants) == 50
    assert 1_000 < sum(tenants.values()) < 90_000, "the requests repeat themselves, in every tenant"
    assert [store.clear(tenant) for tenant in tenants] == [*tenants.values()]


def traps() -> list[tuple[Any, Any]]:
    """Pairs of questions, alone and at the end of conversations, that look alike and have different answers."""
    folder = resources.files("fow_cache") / "data"
    files = [folder / "pairs.jsonl", *(file for file in (folder / "conv-parts").iterdir())]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]
    return [(row["a"], row["b"]) for row in rows if not row["same_answer"]]


def test_no_trap_is_fallen_into() -> None:
    """All pairs of `fow-cache` that must not be taken for each other (CC BY 4.0)."""

    def asked(turns: Any) -> str | None:
        return canonical({"messages": [{"role": "user", "content": turns}] if isinstance(turns, str) else turns})

    pairs = traps()
    assert len(pairs) >= 360
    assert [pair for pair in pairs if asked(pair[0]) == asked(pair[1])] == []
