"""The provider, the model and the price of a call have one source: the client, its address, the path and the body.

Each test is named after what must not happen. The clients are the SDKs' own, at the providers' real addresses, and a
transport leads their requests to the local server. List prices in dollars per million tokens: openai.gpt-5.5 on Bedrock
5.50/33, claude-opus-4-7 in a region of Bedrock 5.50/27.50 and elsewhere 5/25, MiniMax-M2 0.30/1.20, glm-4.6 0.60/2.20,
gemini-2.5-flash 0.30/2.50, kimi-k2.5 0.60/3, gpt-4o-mini 0.15/0.60, gpt-4o 2.50/10.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.lib.bedrock import AnthropicBedrock, AnthropicBedrockMantle
from anthropic.lib.vertex import AnthropicVertex
from google import genai
from google.genai import types
from openai import BedrockOpenAI, OpenAI
from openai.providers import bedrock, vertex

from otel_agentcost.cli import main
from otel_agentcost.settings import Settings
from tests.integrations.sdks.hosts import led
from tests.integrations.sdks.priced_spans import spent
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat, message

ASK: Any = [{"role": "user", "content": "What is six by seven?"}]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
COUNTED = {"input_tokens": 1000, "output_tokens": 100}
NO_RETRY: dict[str, Any] = {"max_retries": 0}
GOOGLE: dict[str, Any] = {"project_id": "p", "access_token": "t"}
AMAZON: dict[str, Any] = {"aws_region": "us-east-1", "aws_access_key": "a", "aws_secret_key": "s"}


# --- Client classes ---

OPENAI_CLIENTS: dict[str, Callable[[Any], OpenAI]] = {
    "BedrockOpenAI": lambda http: BedrockOpenAI(aws_region="us-east-1", api_key="k", http_client=http, **NO_RETRY),
    "OpenAI(provider=bedrock)": lambda http: OpenAI(
        provider=bedrock(region="us-east-1", api_key="k"), http_client=http, **NO_RETRY
    ),
    "OpenAI(provider=bedrock), runtime": lambda http: OpenAI(
        provider=bedrock(region="us-east-1", api_key="k", endpoint="runtime"), http_client=http, **NO_RETRY
    ),
    "OpenAI(base_url=mantle)": lambda http: OpenAI(
        base_url="https://bedrock-mantle.eu-west-1.api.aws/openai/v1", api_key="k", http_client=http, **NO_RETRY
    ),
    "OpenAI(base_url=PrivateLink)": lambda http: OpenAI(
        base_url="https://vpce-0a1b.bedrock-mantle.us-east-1.vpce.amazonaws.com/v1",
        api_key="k",
        http_client=http,
        **NO_RETRY,
    ),
}


@pytest.mark.parametrize("made", OPENAI_CLIENTS.values(), ids=OPENAI_CLIENTS)
def test_bedrocks_openai_models_do_not_go_by_openais_names(
    made: Callable[[Any], OpenAI], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """1,000 tokens in and 100 out of openai.gpt-5.5 are $0.0088 of aws.bedrock, through each client for it."""
    model_server.replies(json_reply(chat(USED, model="openai.gpt-5.5")))
    with instrumented(telemetry), made(led(model_server.url)) as client:
        client.chat.completions.create(model="openai.gpt-5.5", messages=ASK)
    assert spent(telemetry) == ("aws.bedrock", "aws/openai.gpt-5.5", 0.0088, None)


def test_a_bedrock_client_at_an_address_of_its_own_is_not_openai(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A gateway in front of Bedrock: the class says who bills, and the price says that the address does not."""
    model_server.replies(*[json_reply(chat(USED, model="openai.gpt-5.5"))] * 2)
    made = bedrock(region="us-east-1", api_key="k", base_url=model_server.url)
    with instrumented(telemetry):
        for options in ({"provider": made}, {"base_url": model_server.url, "api_key": "k", "aws_region": "us-east-1"}):
            kind: Any = BedrockOpenAI if "base_url" in options else OpenAI
            with kind(**options, **NO_RETRY) as client:
                client.chat.completions.create(model="openai.gpt-5.5", messages=ASK)
    assert [span.attributes["gen_ai.provider.name"] for span in telemetry.spans if span.attributes] == [
        "aws.bedrock",
        "aws.bedrock",
    ]
    assert telemetry.total("agentcost.cost") == pytest.approx(0.0176)


def test_a_model_of_vertex_is_not_openais(model_server: ModelServer, telemetry: Telemetry) -> None:
    """`OpenAI(provider=vertex(...))` calls Google, wherever it is."""
    made = vertex(project="p", location="us-central1", base_url=model_server.url, token_provider=lambda: "t")
    model_server.replies(json_reply(chat(USED, model="google/gemini-2.5-flash")))
    with instrumented(telemetry), OpenAI(provider=made, **NO_RETRY) as client:
        client.chat.completions.create(model="google/gemini-2.5-flash", messages=ASK)
    assert spent(telemetry) == ("gcp.vertex_ai", "google/gemini-2.5-flash", 0.00055, True)


OPUS, REGIONAL = "anthropic/claude-opus-4-7", "aws/regional.anthropic.claude-opus-4-7-v1:0"
CLAUDE: dict[str, tuple[Callable[[Any], Any], str, tuple[str, str, float]]] = {
    "BedrockMantle": (
        lambda http: AnthropicBedrockMantle(aws_region="us-east-1", api_key="k", http_client=http, **NO_RETRY),
        "anthropic.claude-opus-4-7",
        ("aws.bedrock", REGIONAL, 0.00825),
    ),
    "Bedrock": (
        lambda http: AnthropicBedrock(**AMAZON, http_client=http, **NO_RETRY),
        "us.anthropic.claude-opus-4-7",
        ("aws.bedrock", REGIONAL, 0.00825),
    ),
    "AWS": (
        lambda http: anthropic.AnthropicAWS(
            api_key="k", aws_region="us-east-1", workspace_id="w", http_client=http, **NO_RETRY
        ),
        "claude-opus-4-7",
        ("anthropic", OPUS, 0.0075),
    ),
    "GoogleCloud": (
        lambda http: anthropic.AnthropicGoogleCloud(
            project="p", workspace_id="w", token_provider=lambda: "t", http_client=http, **NO_RETRY
        ),
        "claude-opus-4-7",
        ("anthropic", OPUS, 0.0075),
    ),
    "Foundry": (
        lambda http: anthropic.AnthropicFoundry(api_key="k", resource="acme", http_client=http, **NO_RETRY),
        "claude-opus-4-7",
        ("azure.ai.inference", OPUS, 0.0075),
    ),
    "Vertex": (
        lambda http: AnthropicVertex(**GOOGLE, region="global", http_client=http, **NO_RETRY),
        "claude-opus-4-7",
        ("gcp.vertex_ai", "google/claude-opus-4-7", 0.0075),
    ),
}


@pytest.mark.parametrize(("made", "model", "wanted"), CLAUDE.values(), ids=CLAUDE)
def test_no_client_of_anthropics_sdk_is_taken_for_another(
    made: Callable[[Any], Any],
    model: str,
    wanted: tuple[str, str, float],
    model_server: ModelServer,
    telemetry: Telemetry,
) -> None:
    """Each class has its provider's name and price: a region of Bedrock costs 10 % more, Anthropic's own platform on
    another cloud costs what Anthropic's does.
    """
    model_server.replies(json_reply(message(COUNTED, model="claude-opus-4-7")))
    with instrumented(telemetry), made(led(model_server.url)) as client:
        client.messages.create(model=model, max_tokens=200, messages=ASK)
    assert spent(telemetry) == (*wanted, None)


BY_THE_HOUR = ("provisioned-model/abc", "imported-model/abc")


@pytest.mark.parametrize("resource", BY_THE_HOUR)
def test_capacity_that_is_billed_by_the_hour_is_not_billed_by_the_token(
    resource: str, model_server: ModelServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    """Bedrock bills the capacity behind such an ARN, whatever model the response names. The user's price holds."""
    arn = f"arn:aws:bedrock:us-east-1:123456789012:{resource}"
    prices = tmp_path / "own.json"
    prices.write_text(f'{{"models": {{"{arn}": "free"}}}}')
    model_server.replies(*[json_reply(message(COUNTED, model="claude-opus-4-7"))] * 2)
    with AnthropicBedrock(**AMAZON, http_client=led(model_server.url), **NO_RETRY) as client:
        with instrumented(telemetry):
            client.messages.create(model=arn, max_tokens=200, messages=ASK)
        assert spent(telemetry) == ("aws.bedrock", None, None, None)
        assert f"no price for '{arn[:80]}' of aws" in str(telemetry.attributes()["agentcost.unpriced"])
        telemetry.clear()
        with instrumented(telemetry, settings=Settings(prices=prices)):
            client.messages.create(model=arn, max_tokens=200, messages=ASK)
        assert telemetry.attributes()["agentcost.cost.usd"] == 0.0


# --- Addresses ---

ADDRESSES = {
    "MiniMax": ("https://api.minimax.io/v1", "MiniMax-M2", "minimax", "minimax/MiniMax-M2"),
    "MiniMax, China": ("https://api.minimaxi.com/v1", "MiniMax-M2", "minimax", "minimax/MiniMax-M2"),
    "Z.ai": ("https://api.z.ai/api/paas/v4", "glm-4.6", "zai", "zai/GLM-4.6"),
    "Vertex, a region": (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/openapi",
        "google/gemini-2.5-flash",
        "gcp.vertex_ai",
        "google/gemini-2.5-flash",
    ),
    "Vertex, several regions": (
        "https://aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us/endpoints/openapi",
        "google/gemini-2.5-flash",
        "gcp.vertex_ai",
        "google/gemini-2.5-flash",
    ),
    "Gemini": (
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        "gemini-2.5-flash",
        "gcp.gemini",
        "google/gemini-2.5-flash",
    ),
    "Bedrock": (
        "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
        "openai.gpt-5.5",
        "aws.bedrock",
        "aws/openai.gpt-5.5",
    ),
    "Moonshot": ("https://api.moonshot.cn/v1", "kimi-k2.5", "moonshot_ai", "moonshotai/kimi-k2.5"),
    "Azure, v1": ("https://acme.openai.azure.com/openai/v1/", "gpt-4o", "azure.ai.openai", "openai/gpt-4o"),
    "Azure, Foundry": (
        "https://acme.services.ai.azure.com/openai/v1/",
        "gpt-4o",
        "azure.ai.inference",
        "openai/gpt-4o",
    ),
    "Azure, services": (
        "https://acme.cognitiveservices.azure.com/openai/v1/",
        "gpt-4o",
        "azure.ai.openai",
        "openai/gpt-4o",
    ),
    "Cloudflare in front of OpenAI": (
        "https://gateway.ai.cloudflare.com/v1/acct/gate/openai",
        "gpt-4o",
        "openai",
        "openai/gpt-4o",
    ),
    "Cloudflare in front of Groq": (
        "https://gateway.ai.cloudflare.com/v1/acct/gate/groq",
        "llama-3.3-70b-versatile",
        "groq",
        "groq/llama-3.3-70b-versatile",
    ),
    "Hugging Face": (
        "https://router.huggingface.co/groq/openai/v1",
        "openai/gpt-oss-120b",
        "huggingface_groq",
        "huggingface_groq/openai/gpt-oss-120b",
    ),
    "Hugging Face, the model names the seller": (
        "https://router.huggingface.co/v1",
        "openai/gpt-oss-120b:groq",
        "huggingface_groq",
        "huggingface_groq/openai/gpt-oss-120b",
    ),
}


@pytest.mark.parametrize(("url", "model", "provider", "price"), ADDRESSES.values(), ids=ADDRESSES)
def test_the_name_of_a_provider_is_not_another_than_that_of_its_price(
    url: str, model: str, provider: str, price: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The openai SDK at another provider's address: one row of one table says the name, and whose prices apply."""
    model_server.replies(json_reply(chat(USED, model=model)))
    with (
        instrumented(telemetry),
        OpenAI(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        client.chat.completions.create(model=model, messages=ASK)
    assert (*spent(telemetry)[:2], spent(telemetry)[3]) == (provider, price, None)
    assert telemetry.total("agentcost.cost", gen_ai__provider__name=provider) > 0


UNLISTED = {
    "dashscope": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen-plus"),
    "deepinfra": ("https://api.deepinfra.com/v1/openai", "openai/gpt-oss-120b"),
    "siliconflow": ("https://api.siliconflow.cn/v1", "deepseek/deepseek-chat"),
    "volcengine": ("https://ark.cn-beijing.volces.com/api/v3", "doubao-seed-1-6"),
    "nvidia": ("https://integrate.api.nvidia.com/v1", "openai/gpt-oss-20b"),
    "huggingface": ("https://router.huggingface.co/v1", "openai/gpt-oss-20b"),
    "nebius": ("https://api.tokenfactory.nebius.com/v1", "openai/gpt-oss-20b"),
}


@pytest.mark.parametrize(("provider", "at"), UNLISTED.items(), ids=UNLISTED)
def test_a_known_seller_without_a_price_list_does_not_get_anothers_price(
    provider: str, at: tuple[str, str], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """`openai/gpt-oss-120b` at DeepInfra is not sold by OpenAI: it is unpriced, under the seller's name."""
    url, model = at
    model_server.replies(json_reply(chat(USED, model=model)))
    with (
        instrumented(telemetry),
        OpenAI(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        client.chat.completions.create(model=model, messages=ASK)
    assert spent(telemetry) == (provider, None, None, None)
    assert f"no price for '{model}' of {provider}" in str(telemetry.attributes()["agentcost.unpriced"])


def test_a_users_own_provider_is_not_called_openai(
    model_server: ModelServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    """A provider of the price file has its own name beside its own price; the address is known, by the user."""
    prices = tmp_path / "own.json"
    prices.write_text(f'{{"providers": {{"acme": {{"base_url": "{model_server.url}", "models": {{"m": "free"}}}}}}}}')
    model_server.replies(json_reply(chat(USED, model="m")))
    with (
        instrumented(telemetry, settings=Settings(prices=prices)),
        OpenAI(base_url=f"{model_server.url}/v1", api_key="k", **NO_RETRY) as client,
    ):
        client.chat.completions.create(model="m", messages=ASK)
    assert spent(telemetry) == ("acme", "acme/m", 0.0, None)


ANTHROPICS_FORMAT = {
    "deepseek": ("https://api.deepseek.com/anthropic", "deepseek-v3.1-terminus", 0.000365),  # 1000 x 0.27 + 100 x 0.95
    "zai": ("https://api.z.ai/api/anthropic", "glm-4.6", 0.00082),  # 1000 x 0.60 + 100 x 2.20
    "moonshot_ai": ("https://api.moonshot.ai/anthropic", "kimi-k2.5", 0.0009),  # 1000 x 0.60 + 100 x 3
    "minimax": ("https://api.minimax.io/anthropic", "MiniMax-M2", 0.00042),  # 1000 x 0.30 + 100 x 1.20
}


@pytest.mark.parametrize(("provider", "at"), ANTHROPICS_FORMAT.items(), ids=ANTHROPICS_FORMAT)
def test_anthropics_format_at_anothers_address_is_not_anthropics_call(
    provider: str, at: tuple[str, str, float], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Others copy Anthropic's API, too: their address says their name and their price."""
    url, model, usd = at
    model_server.replies(json_reply(message(COUNTED, model=model)))
    with (
        instrumented(telemetry),
        anthropic.Anthropic(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        client.messages.create(model=model, max_tokens=200, messages=ASK)
    provider_on_span, _, spent_usd, assumed = spent(telemetry)
    assert (provider_on_span, spent_usd, assumed) == (provider, usd, None)


def test_the_address_of_a_request_is_not_taken_from_the_client(
    model_server: ModelServer, telemetry: Telemetry, tmp_path: Path
) -> None:
    """google-genai takes an address for one request; a full URL in the openai SDK overrides the client's address."""
    prices = tmp_path / "own.json"
    prices.write_text(f'{{"providers": {{"acme": {{"base_url": "{model_server.url}", "models": {{"*": "free"}}}}}}}}')
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}
    content = {"content": {"role": "model", "parts": [{"text": "42"}]}, "finishReason": "STOP"}
    model_server.replies(
        json_reply({"candidates": [content], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash"}),
        json_reply(chat(USED, model="gpt-4o")),
    )
    with instrumented(telemetry, settings=Settings(prices=prices)):
        google = genai.Client(api_key="k")
        config = types.GenerateContentConfig(http_options=types.HttpOptions(base_url=model_server.url))
        google.models.generate_content(model="gemini-2.5-flash", contents="bees", config=config)
        with OpenAI(base_url="https://api.openai.com/v1", api_key="k", **NO_RETRY) as client:
            url = f"{model_server.url}/v1/chat/completions"
            client.post(url, body={"model": "gpt-4o", "messages": ASK}, cast_to=dict[str, Any])
    assert [(span.attributes or {})["gen_ai.provider.name"] for span in telemetry.spans] == ["acme", "acme"]
    assert telemetry.total("agentcost.cost") == 0.0


@pytest.mark.parametrize(
    ("url", "model"),
    [
        *(ADDRESSES[name][:2] for name in ("MiniMax", "Vertex, several regions", "Bedrock", "Hugging Face")),
        UNLISTED["deepinfra"],
        ("http://localhost:4000/v1", "gpt-4o"),
        ("http://127.0.0.1:8000/v1", "openai/gpt-oss-20b"),
        ("http://127.0.0.1:8000/v1", "deepseek/deepseek-v3.1-terminus"),
        ("http://127.0.0.1:8000/v1", "mistral-small-latest"),
        ("https://llm.acme.example/v1", "my-model"),
    ],
)
def test_the_command_does_not_answer_otherwise_than_a_call(
    url: str, model: str, model_server: ModelServer, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    """`agentcost prices show --base-url` says the price of a call of the openai SDK at that address, or that it has
    none, and whether the provider is assumed.
    """
    model_server.replies(json_reply(chat(USED, model=model)))
    with (
        instrumented(telemetry),
        OpenAI(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        client.chat.completions.create(model=model, messages=ASK)
    code = main(["prices", "show", model, "--base-url", url])
    shown = capsys.readouterr().out
    _, price, usd, assumed = spent(telemetry)
    assert code == (0 if usd is not None else 1)
    assert shown.startswith(f"{price}  (" if usd is not None else "Unpriced: ")
    assert ("\n  assumed: " in shown) == (assumed is True)
