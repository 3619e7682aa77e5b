"""Videos of OpenAI and Google: billed by the second, for which the price book has no prices.

The call is unpriced. Its reason says what was asked for: how many seconds, at which size.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.billed_later import BilledLater
from otel_agentcost.wire.fields import get, text

__all__ = ["FORMAT"]

_BY_THE_SECOND: Final = "is billed by the second, as it is made, and the price book has no price for seconds of video"


class Videos(BilledLater):
    """The format."""

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response: it has the id of the video to come, and OpenAI's says what it will be."""
        answer = super().read_response(call, response)
        if answer.response_id is None:
            return answer
        missing = f"{_described(call.body, response)} {_BY_THE_SECOND}"
        return answer._replace(missing=missing, model=text(response, "model"))


def _described(body: Any, response: Any) -> str:
    """Return what will be made. An extension's response has the seconds of the whole video: the request comes first."""
    asked = get(body, "parameters")
    seconds = _word(body, "seconds") or _word(asked, "durationSeconds") or _word(response, "seconds")
    size = _word(body, "size") or _word(asked, "resolution") or _word(response, "size")
    number = get(asked, "sampleCount")
    many = type(number) is int and number > 1
    of = f" of {seconds} seconds" if seconds else ""
    at = f" at {size}" if size else ""
    return f"each of {number} videos{of}{at}" if many else f"a video{of}{at}"


def _word(place: Any, name: str) -> str | None:
    value = get(place, name)
    return str(value)[:20] if isinstance(value, (str, int)) and not isinstance(value, bool) and value else None


FORMAT = Videos()
