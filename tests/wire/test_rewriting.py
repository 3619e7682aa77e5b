"""Requests that are changed before they are sent: each format's own fields, no limit raised, nobody's values touched.

What is sent is read again here, because that is what the call is then held to.
"""

from __future__ import annotations

import copy
import re
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost import wire
from otel_agentcost.core.call import Call
from otel_agentcost.wire import CannotRewrite, Change, load
from tests.wire.reading import ask
from tests.wire.test_fuzz import FORMATS

GEMINI = "models/gemini-2.5-pro:generateContent"
PATHS = {
    "openai_chat": "/chat/completions",
    "openai_completions": "/completions",
    "openai_responses": "/responses",
    "anthropic_messages": "/v1/messages",
    "gemini": GEMINI,
}


def sent(form: str, body: Any, path: str | None = None, **change: Any) -> tuple[Any, str]:
    """The body and the path that are sent; what was given is as it was."""
    path = path or PATHS[form]
    before = copy.deepcopy(body)
    changed = load(form).rewrite(ask(form, body, path), path, Change(**change))
    assert body == before
    return changed


def clamped(form: str, body: Any, most: int, **more: Any) -> Any:
    """The body that is sent with at most `most` tokens of output."""
    changed, path = sent(form, body, max_output_tokens=most, **more)
    assert path == PATHS[form]
    limit = ask(form, changed, path).max_output_tokens
    assert limit is not None
    assert limit <= most
    return changed


# --- The output limit ---


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_chat_s_own_field_is_lowered(field: str) -> None:
    """Whichever the application uses: a model may refuse the other one."""
    assert clamped("openai_chat", {"model": "m", field: 900}, 200) == {"model": "m", field: 200}
    assert clamped("openai_chat", {"model": "m", field: None}, 200) == {"model": "m", field: 200}


def test_both_fields_of_a_chat_are_lowered() -> None:
    """Servers differ in which of them they obey."""
    body = {"max_tokens": 900, "max_completion_tokens": 100}
    assert clamped("openai_chat", body, 200) == {"max_tokens": 200, "max_completion_tokens": 100}


@pytest.mark.parametrize(
    ("provider", "known", "model", "field"),
    [
        ("openai", True, "gpt-4o", "max_completion_tokens"),
        ("azure.ai.openai", False, "our-deployment", "max_completion_tokens"),
        ("groq", True, "llama-3.3-70b-versatile", "max_tokens"),
        ("openai", False, "llama3", "max_tokens"),
        ("openai", False, "gpt-oss-120b", "max_tokens"),
        ("openai", False, "o4-mini", "max_completion_tokens"),
        ("openrouter", True, "openai/gpt-5.1", "max_completion_tokens"),
    ],
)
def test_a_chat_without_a_limit_gets_the_field_that_its_server_knows(
    provider: str, known: bool, model: str, field: str
) -> None:
    """OpenAI's new models refuse `max_tokens`; who copies the API may ignore any other name, and overspend."""
    assert clamped("openai_chat", {"model": model}, 200, provider=provider, known=known)[field] == 200


def test_predicted_outputs_allow_of_no_limit() -> None:
    """OpenAI refuses the two together: better no request than one that fails."""
    with pytest.raises(CannotRewrite, match="predicted"):
        clamped("openai_chat", {"prediction": {}}, 200, provider="openai")


def test_responses_have_a_least_limit() -> None:
    """OpenAI takes no fewer than 16 tokens."""
    assert clamped("openai_responses", {"input": "x"}, 16)["max_output_tokens"] == 16
    with pytest.raises(CannotRewrite, match="at least 16"):
        clamped("openai_responses", {"input": "x"}, 15)
    assert clamped("openai_responses", {"max_output_tokens": 8}, 12) == {"max_output_tokens": 8}


@pytest.mark.parametrize("path", ["/responses/compact", "/decisions"])
def test_what_has_no_output_limit_is_not_clamped(path: str) -> None:
    """There is no field for it; another model it may well be asked of."""
    with pytest.raises(CannotRewrite, match="no output limit"):
        sent("openai_responses", {"model": "m"}, path, max_output_tokens=100)
    assert sent("openai_responses", {"model": "m"}, path, model="n") == ({"model": "n"}, path)


def test_a_legacy_completion_is_not_raised_above_its_default() -> None:
    """Without a limit OpenAI stops after 16 tokens; to set 200 would raise it."""
    assert clamped("openai_completions", {"prompt": "x"}, 200, provider="openai")["max_tokens"] == 16
    assert clamped("openai_completions", {"prompt": "x"}, 200, provider="together")["max_tokens"] == 200
    assert clamped("openai_completions", {"prompt": "x", "max_tokens": 500}, 200)["max_tokens"] == 200


@pytest.mark.parametrize("form", ["openai_chat", "openai_completions", "openai_responses", "anthropic_messages"])
@pytest.mark.parametrize("limit", [0, 1, 199, 200.0])
def test_a_lower_limit_stays(form: str, limit: float) -> None:
    """A limit is never raised."""
    field = "max_output_tokens" if form == "openai_responses" else "max_tokens"
    changed, _ = sent(form, {field: limit}, max_output_tokens=200)
    assert changed == {field: limit}


def test_a_negative_limit_is_none() -> None:
    """Some servers take -1 for "as many as you like"."""
    assert clamped("openai_chat", {"max_tokens": -1}, 200) == {"max_tokens": 200}


@pytest.mark.parametrize("limit", [True, "900", [], float("nan")])
def test_a_limit_that_is_no_number_is_not_guessed(limit: Any) -> None:
    """What a server makes of it is not known: to write another may raise it."""
    with pytest.raises(CannotRewrite, match="no number"):
        sent("openai_chat", {"max_tokens": limit}, max_output_tokens=200)


@pytest.mark.parametrize("body", [None, "text", b"bytes", [1]])
def test_a_body_that_is_no_object_is_not_changed(body: Any) -> None:
    """A file or text that is sent as it is has no fields."""
    with pytest.raises(CannotRewrite, match="no JSON object"):
        load("openai_chat").rewrite(Call(operation="chat", model="m", body=body), "/x", Change(max_output_tokens=100))


# --- Thinking ---


@pytest.mark.parametrize(
    ("budget", "limit", "most", "left"),
    [
        (4000, 8000, 5000, 4000),  # it fits
        (4000, 8000, 4000, 2000),  # the same share
        (6000, 8000, 1100, 1024),  # the least that there is
        (9000, 8000, 4000, 9000),  # interleaved with tool calls, it counts for the whole turn
    ],
)
def test_a_thinking_budget_stays_below_the_limit(budget: int, limit: int, most: int, left: int) -> None:
    """Anthropic refuses a request whose `budget_tokens` are not less than its `max_tokens`."""
    body = {"max_tokens": limit, "thinking": {"type": "enabled", "budget_tokens": budget, "display": "omitted"}}
    changed = clamped("anthropic_messages", body, most)
    assert changed["thinking"] == {"type": "enabled", "budget_tokens": left, "display": "omitted"}


@pytest.mark.parametrize("most", [1, 1023, 1024])
def test_thinking_leaves_room_for_an_answer_or_there_is_no_call(most: int) -> None:
    """The least budget is 1,024 tokens: a limit that is no higher is none that the provider takes."""
    body = {"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with pytest.raises(CannotRewrite, match="thinks"):
        clamped("anthropic_messages", body, most)


def test_thinking_without_a_budget_is_limited_by_the_limit() -> None:
    """Adaptive thinking counts within `max_tokens`, and sets nothing that must be below it."""
    thinking = {"type": "adaptive"}
    changed = clamped("anthropic_messages", {"max_tokens": 8000, "thinking": thinking}, 300)
    assert changed["thinking"] is thinking


def test_a_budget_for_reasoning_in_a_chat_is_lowered_too() -> None:
    """OpenRouter and Anthropic's own chat endpoint pass it on to models that refuse it otherwise."""
    body = {"max_tokens": 8000, "reasoning": {"max_tokens": 4000}}
    assert clamped("openai_chat", body, 2400)["reasoning"] == {"max_tokens": 1200}


@pytest.mark.parametrize(
    ("place", "field", "thinking", "budget"),
    [
        ("generationConfig", "maxOutputTokens", "thinkingConfig", "thinkingBudget"),
        ("generationConfig", "max_output_tokens", "thinking_config", "thinking_budget"),
        ("generation_config", "max_output_tokens", "thinking_config", "thinking_budget"),
        ("config", "max_output_tokens", "thinking_config", "thinking_budget"),
    ],
)
def test_gemini_s_limit_and_budget_in_either_spelling(place: str, field: str, thinking: str, budget: str) -> None:
    """Thoughts count within the output limit; -1, a budget that the model chooses, needs no lower one."""
    body = {"contents": [], place: {field: 8000, thinking: {budget: 4000}, "seed": 1}}
    assert sent("gemini", body, max_output_tokens=2000)[0] == {
        "contents": [],
        place: {field: 2000, thinking: {budget: 1000}, "seed": 1},
    }
    chosen = {"contents": [], place: {field: 8000, thinking: {budget: -1}}}
    assert sent("gemini", chosen, max_output_tokens=2000)[0][place] == {field: 2000, thinking: {budget: -1}}


@pytest.mark.parametrize("body", [{"contents": []}, {"contents": [], "generationConfig": None}])
def test_gemini_without_settings_gets_some(body: Any) -> None:
    """A request without a limit gets the field that it would have."""
    assert clamped("gemini", body, 300)["generationConfig"] == {"maxOutputTokens": 300}


# --- The model ---


def renamed(form: str, body: Any, path: str | None = None) -> tuple[Any, str]:
    changed, path = sent(form, body, path, model="cheap")
    assert ask(form, changed, path).model == "cheap"
    return changed, path


@pytest.mark.parametrize("form", ["openai_chat", "openai_completions", "openai_responses", "anthropic_messages"])
def test_a_model_in_the_body_is_replaced(form: str) -> None:
    """And nothing else of the request is."""
    messages = [{"role": "user", "content": "Hi"}]
    changed, path = renamed(form, {"model": "dear", "messages": messages, "max_tokens": 9})
    assert changed == {"model": "cheap", "messages": messages, "max_tokens": 9}
    assert changed["messages"] is messages
    assert path == PATHS[form]


def test_a_deployment_in_an_azure_path_is_replaced() -> None:
    """There the path says what answers, whatever the body names."""
    path = "/openai/deployments/dear/chat/completions?api-version=1"
    wanted = "/openai/deployments/cheap/chat/completions?api-version=1"
    assert renamed("openai_chat", {"messages": []}, path) == ({"messages": []}, wanted)
    assert renamed("openai_chat", {"model": "dear"}, path) == ({"model": "cheap"}, wanted)
    assert sent("openai_chat", {}, path, model="a/b")[1].startswith("/openai/deployments/a%2Fb/chat")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": None},
        {"model": "dear", "models": ["dearer"]},
        {"model": "dear", "fallbacks": [{"model": "dearer"}]},
    ],
)
def test_a_request_whose_model_is_elsewhere_too_is_not_changed(body: Any) -> None:
    """A stored prompt's model, or another that may answer it, would be charged all the same."""
    with pytest.raises(CannotRewrite, match="model"):
        sent("openai_chat", body, model="cheap")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (GEMINI, "models/cheap:generateContent"),
        ("models/gemini-2.5-pro:streamGenerateContent?alt=sse", "models/cheap:streamGenerateContent?alt=sse"),
        ("v1beta/models/x:generateContent", "v1beta/models/cheap:generateContent"),
        ("publishers/google/models/x:generateContent", "publishers/google/models/cheap:generateContent"),
        (
            "projects/p/locations/l/publishers/google/models/x:generateContent",
            "projects/p/locations/l/publishers/google/models/cheap:generateContent",
        ),
    ],
)
def test_a_model_in_a_path_of_gemini_is_replaced(path: str, wanted: str) -> None:
    """On the Gemini API and on Vertex, streamed or not."""
    assert renamed("gemini", {"contents": []}, path) == ({"contents": []}, wanted)
    assert sent("gemini", {"contents": []}, path, model="models/cheap")[1] == wanted


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tunedModels/ours:generateContent", {}),
        ("projects/p/locations/l/endpoints/123:generateContent", {}),
        ("projects/p/locations/l/models/123:generateContent", {}),
        ("somewhere/else", {"model": "models/dear"}),
        (GEMINI, {"cachedContent": "cachedContents/1"}),
        (GEMINI, {"cached_content": "cachedContents/1"}),
        ("models/gemini-embedding-001:embedContent", {"content": {}}),
    ],
)
def test_what_belongs_to_one_model_of_gemini_is_not_asked_of_another(path: str, body: Any) -> None:
    """Tuned models, endpoints, caches and embeddings."""
    with pytest.raises(CannotRewrite):
        sent("gemini", body, path, model="cheap")


# --- Formats in which there is nothing to change ---


@pytest.mark.parametrize(
    ("form", "path"),
    [("openai_embeddings", "/embeddings"), ("openai_moderations", "/moderations"), ("openai_batches", "/batches")],
)
def test_what_cannot_be_asked_of_another_model(form: str, path: str) -> None:
    """Embeddings cannot be compared with another model's; a batch has its models in a file."""
    with pytest.raises(CannotRewrite):
        sent(form, {"model": "dear"}, path, model="cheap")


@pytest.mark.parametrize(
    ("form", "path"), [("openai_embeddings", "/embeddings"), ("openai_moderations", "/moderations")]
)
def test_what_has_no_output_is_within_every_limit(form: str, path: str) -> None:
    """There is nothing to lower, and no reason to refuse."""
    assert sent(form, {"model": "m", "input": "x"}, path, max_output_tokens=10)[0] == {"model": "m", "input": "x"}


@pytest.mark.parametrize("form", ["openai_images", "openai_audio"])
def test_pictures_and_sound_have_a_model_and_no_limit(form: str) -> None:
    """Their output is not counted in tokens that a request could limit."""
    assert sent(form, {"model": "dear", "n": 2}, "/x", model="cheap")[0] == {"model": "cheap", "n": 2}
    with pytest.raises(CannotRewrite, match="no output limit"):
        sent(form, {"model": "dear"}, "/x", max_output_tokens=100)


def test_every_format_can_be_asked_to_change() -> None:
    """Found by listing the folder: a format that cannot change its requests says so with `CannotRewrite`."""
    modules = (import_module(f"{wire.__name__}.{module.name}") for module in iter_modules(wire.__path__))
    formats = [(module.__name__, module.FORMAT) for module in modules if hasattr(module, "FORMAT")]
    assert len(formats) >= 10
    assert [name for name, form in formats if not callable(getattr(form, "rewrite", None))] == []


_NAMES = re.findall(
    r"\w+",
    """model models max_tokens max_completion_tokens max_output_tokens maxOutputTokens generationConfig config thinking
    budget_tokens thinkingConfig thinkingBudget reasoning prediction service_tier speed inference_geo n""",
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5000) | st.floats() | st.sampled_from(["", "m", "flex", "fast"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(
    form=st.sampled_from(FORMATS),
    body=st.dictionaries(st.sampled_from(_NAMES), _JSON, max_size=6) | _JSON,
    most=st.none() | st.integers(0, 3000),
    model=st.none() | st.just("cheap"),
)
def test_whatever_is_asked_is_limited_or_left_alone(
    form: tuple[str, str], body: Any, most: int | None, model: str | None
) -> None:
    """A request that is changed obeys the limit, raises none, and asks for the model; what was given stays as it is."""
    name, path = form
    before, call = repr(body), ask(name, body, path)
    try:
        changed, path = load(name).rewrite(call, path, Change(model=model, max_output_tokens=most))
    except CannotRewrite:
        return
    finally:
        assert repr(body) == before
    again = ask(name, changed, path)
    assert again.model == (model or call.model)
    if most is not None:
        assert again.max_output_tokens is not None
        assert again.max_output_tokens <= most
        assert call.max_output_tokens is None or again.max_output_tokens <= call.max_output_tokens
    assert again.choices == call.choices
