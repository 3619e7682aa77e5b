"""Requests for work that is billed after their response: batches, sessions of agents, assistants, videos, tuning.

The response of such a request does not show what the work will cost, and this process does not see its end. So the call
is unpriced rather than free, with the reason. Reading the results later is not a model call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from otel_agentcost.core import batch
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import text
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT", "WORK"]


class _Work(NamedTuple):
    operation: str
    """`gen_ai.operation.name`."""
    reason: str


_BATCH: Final = _Work("create_batch", "a batch is billed as it runs, after it was created")
_SESSION: Final = _Work("send_session_events", "an agent's session is billed as it runs, after its events were sent")
_AGENT: Final = _Work("run_agent", "an agent's run is billed as it runs, after it was started")
_VIDEO: Final = _Work("generate_video", "a video is billed as it is made, after it was requested")
_TUNING: Final = _Work("tune_model", "tuning a model is billed as it runs, after it was started")
_EVAL: Final = _Work("run_eval", "an evaluation is billed as it runs, after it was started")
_HOSTED: Final = _Work("query_models", "the response does not say which models ran, and how many tokens they used")
_ANSWER: Final = _Work("start_answer", "the answer is made after the response, and retrieved later")
_OTHER: Final = _Work("start_work", "what the call starts is billed as it runs, after the response")

WORK: Final[Mapping[str, _Work]] = {
    ":batchGenerateContent": _BATCH,  # Gemini API
    ":asyncBatchEmbedContent": _BATCH,
    "batchPredictionJobs": _BATCH,  # Vertex AI
    ":predictLongRunning": _VIDEO,
    "tuningJobs": _TUNING,
    "tunedModels": _TUNING,
    "/v1/sessions": _SESSION,  # with its first events, or its first input
    "/agents/sessions": _SESSION,
    "/sessions/*/events": _SESSION,  # Anthropic's managed agents, OpenAI's agents
    "/deployments/*/run": _AGENT,
    "/automations/*/invocations": _AGENT,
    "/v1/dreams": _AGENT,
    "/triggers/*/executions": _AGENT,  # Gemini API
    "/videos": _VIDEO,  # OpenAI
    "/videos/edits": _VIDEO,
    "/videos/extensions": _VIDEO,
    "/videos/*/remix": _VIDEO,
    "/fine_tuning/jobs": _TUNING,
    "/graders/run": _EVAL,
    "/evals/*/runs": _EVAL,
    "/batch/jobs": _BATCH,  # Mistral
    "/batches": _BATCH,  # Cohere
    "/embed-jobs": _BATCH,
    "/finetuned-models": _TUNING,
    "/fine-tunes": _TUNING,  # Together
    "/batchInferenceJobs": _BATCH,  # Fireworks
    "/evaluationJobs": _EVAL,
    "/supervisedFineTuningJobs": _TUNING,
    "/reinforcementFineTuningJobs": _TUNING,
    "/dpoJobs": _TUNING,
    "/chat/completions": _ANSWER,  # `/async/chat/completions` of Perplexity and of Z.ai
    "/images/generations": _ANSWER,
    "/videos/generations": _VIDEO,
    "/agents/*/text": _AGENT,  # Amazon Bedrock
    "/agents/*": _AGENT,
    "/flows/*/aliases/*": _HOSTED,
    "/retrieveAndGenerate": _HOSTED,
    "/retrieveAndGenerateStream": _HOSTED,
    "/optimize-prompt": _HOSTED,
}
"""What a request starts, by the end of its path. `*` stands for one segment."""

_REASONS: Final = {work.operation: work.reason for work in (*WORK.values(), _OTHER)}


class BilledLater(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. Gemini's paths have the model; otherwise the body has it, or nothing."""
        place = path.partition("?")[0].rstrip("/")
        resource, _, verb = place.rpartition(":")
        work = WORK.get(f":{verb}") or WORK.get(place) or _work_at(place.split("/"))
        named = text(body, "model") or text(body, "baseModel") or (resource if work in (_BATCH, _VIDEO) else "")
        model = named.rpartition("/")[2] if named.startswith(_RESOURCES) else named
        terms = batch.TERMS if work is _BATCH else ()
        return Call(operation=work.operation, model=model or None, terms=terms, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response: it has an id or a name, and no usage."""
        named = text(response, "id") or text(response, "name")
        error = error_text(response) if named is None else None
        return Answer(missing=error or _REASONS.get(call.operation, _OTHER.reason), response_id=named)

    def open_stream(self, call: Call) -> NotStreamed:
        """Return a reader with the answer: the events of a run are not read."""
        return NotStreamed(Answer(missing=_REASONS.get(call.operation, _OTHER.reason)))


STARTED: Final[Mapping[str, str]] = {"/v1/sessions": "initial_events", "/agents/sessions": "input"}
"""Fields of a body by path ending. Without this field, such a request starts nothing that is billed."""

_RESOURCES: Final = ("models/", "publishers/", "projects/", "tunedModels/")
"""How the resource names of Google's models begin."""


def _work_at(segments: list[str]) -> _Work:
    """Return what a request starts, by the segments of its path."""
    last = segments[-1]
    before = segments[-2] if len(segments) > 1 else ""
    owner = segments[-3] if len(segments) > 2 else ""
    endings = (f"/{owner}/*/{last}", f"/{before}/{last}", f"/{last}", last)
    return next((WORK[ending] for ending in endings if ending in WORK), _OTHER)


FORMAT = BilledLater()
