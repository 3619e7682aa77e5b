"""Plays the batch APIs of OpenAI, Anthropic, Gemini and Mistral: a batch runs until `finish`, then it has results.

Three lines have answers of 1,000 tokens in and 100 out; one has failed and one has expired, which costs nothing.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.model_server import Reply, Request, json_reply

INTO, OUT, ANSWERED = 1000, 100, 3


class BatchProvider:
    """One batch of each provider."""

    def __init__(self) -> None:
        self.finished = False
        self.inlined = False
        """Gemini's and Mistral's results are in the answer to a poll, not in a file."""
        self.ended: tuple[str, str, str, str] = ("completed", "ended", "SUCCEEDED", "SUCCESS")
        self.answered = ANSWERED
        self.order = 1

    def finish(self) -> None:
        """The batch has run."""
        self.finished = True

    def __call__(self, request: Request) -> Reply:
        path = request.path.partition("?")[0]
        lines = self._results(path)
        if lines is not None:
            body = "".join(f"{json.dumps(line)}\n" for line in lines[:: self.order])
            return Reply(content_type="application/octet-stream", body=body.encode())
        if "/messages/batches" in path:
            return json_reply(self.anthropic_batch(request))
        if "/batch/jobs" in path:
            return json_reply(self.mistral_job())
        if "x-goog-api-key" in request.headers:
            return json_reply(self.gemini_batch())
        if path.endswith("/files"):
            file = {"id": "file-in", "object": "file", "purpose": "batch", "filename": "in.jsonl", "bytes": 1}
            return json_reply(file)
        batches = {"object": "list", "data": [self.openai_batch()], "has_more": False}
        listed = path.endswith("/batches") and request.method == "GET"
        return json_reply(batches if listed else self.openai_batch())

    def _results(self, path: str) -> list[dict[str, Any]] | None:
        """The lines at a path; None at any other one."""
        if path.endswith("/content"):
            return self.mistral() if "mistral" in path else self.openai()
        if path.endswith("/results"):
            return self.anthropic()
        return self.gemini() if path.endswith(":download") else None

    # --- OpenAI ---

    def openai_batch(self) -> dict[str, Any]:
        status = self.ended[0] if self.finished else "in_progress"
        files = {"output_file_id": "file-out", "error_file_id": "file-err"} if self.finished and self.answered else {}
        return {
            "id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "status": status,
            "input_file_id": "file-in", "completion_window": "24h", "created_at": 1, **files,
        }  # fmt: skip

    def openai(self) -> list[dict[str, Any]]:
        usage = {"prompt_tokens": INTO, "completion_tokens": OUT, "total_tokens": INTO + OUT}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
        body |= {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "42"}}]}
        fine = {"status_code": 200, "request_id": "r", "body": {**body, "usage": usage}}
        failed = {"status_code": 400, "request_id": "r", "body": {"error": {"message": "no"}}}
        lines = [{"id": f"b{n}", "custom_id": f"q{n}", "response": fine, "error": None} for n in range(self.answered)]
        expired = {"code": "batch_expired", "message": "too late"}
        return [
            *lines,
            {"id": "x", "custom_id": "failed", "response": failed, "error": None},
            {"id": "y", "custom_id": "expired", "response": None, "error": expired},
        ]

    # --- Anthropic ---

    def anthropic_batch(self, request: Request) -> dict[str, Any]:
        done, host = self.finished, request.headers["host"]
        place = f"http://{host}/v1/messages/batches/msgbatch_1/results"
        counts = {"processing": 0, "succeeded": self.answered, "errored": 1, "canceled": 0, "expired": 1}
        return {
            "id": "msgbatch_1", "type": "message_batch", "processing_status": self.ended[1] if done else "in_progress",
            "request_counts": counts if done else {**counts, "succeeded": 0, "processing": 5},
            "results_url": place if done else None, "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z", "archived_at": None, "cancel_initiated_at": None, "ended_at": None,
        }  # fmt: skip

    def anthropic(self) -> list[dict[str, Any]]:
        message: dict[str, Any] = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5-20251001",
        }
        message |= {"content": [{"type": "text", "text": "42"}], "stop_reason": "end_turn", "stop_sequence": None}
        usage = {"input_tokens": INTO, "output_tokens": OUT, "service_tier": "batch"}
        fine = {"type": "succeeded", "message": {**message, "usage": usage}}
        failed = {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "no"}}}
        lines = [{"custom_id": f"q{n}", "result": fine} for n in range(self.answered)]
        return [
            *lines,
            {"custom_id": "failed", "result": failed},
            {"custom_id": "expired", "result": {"type": "expired"}},
        ]

    # --- Gemini ---

    def gemini_batch(self) -> dict[str, Any]:
        state = f"BATCH_STATE_{self.ended[2]}" if self.finished else "BATCH_STATE_RUNNING"
        metadata: dict[str, Any] = {"state": state, "model": "models/gemini-2.5-flash", "displayName": "b"}
        if self.finished and self.answered:
            results = {"inlinedResponses": {"inlinedResponses": self.gemini()}}
            metadata["output"] = results if self.inlined else {"responsesFile": "files/batch-1"}
        return {"name": "batches/1", "metadata": metadata, "done": self.finished}

    def gemini(self) -> list[dict[str, Any]]:
        usage = {"promptTokenCount": INTO, "candidatesTokenCount": OUT, "totalTokenCount": INTO + OUT}
        content = {"role": "model", "parts": [{"text": "42"}]}
        answer = {"candidates": [{"content": content, "finishReason": "STOP"}], "modelVersion": "gemini-2.5-flash"}
        fine = {**answer, "usageMetadata": usage}
        lines: list[dict[str, Any]] = [{"response": fine} for _ in range(self.answered)]
        lines += [{"error": {"code": 3, "message": "no"}}, {"error": {"code": 4, "message": "too late"}}]
        return lines if self.inlined else [{"key": f"q{n}", **line} for n, line in enumerate(lines)]

    # --- Mistral ---

    def mistral_job(self) -> dict[str, Any]:
        done = self.finished
        job: dict[str, Any] = {
            "id": "job_1", "object": "batch", "input_files": [], "endpoint": "/v1/chat/completions", "errors": [],
            "status": self.ended[3] if done else "RUNNING", "created_at": 1, "total_requests": 5,
            "completed_requests": 5, "succeeded_requests": 3, "failed_requests": 2, "model": "mistral-small-latest",
        }  # fmt: skip
        if done and self.answered:
            job |= {"outputs": self.mistral()} if self.inlined else {"output_file": "mistral-out"}
        return job

    def mistral(self) -> list[dict[str, Any]]:
        lines = self.openai()
        for line in lines[: self.answered]:
            line["response"]["body"] = {**line["response"]["body"], "model": "mistral-small-latest"}
        return lines
