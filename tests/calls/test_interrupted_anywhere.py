"""The exception of a signal handler arrives at each place of this package where one can, one after the other.

Python runs signal handlers where a function begins, a loop goes round, and after calls of C functions. A trace function
finds these places, and raises there as a signal handler does.
"""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import openai
import pytest
from opentelemetry import context

import otel_agentcost
from otel_agentcost.calls.call import CURRENT
from otel_agentcost.calls.finalize import settle_pending
from tests.calls.storm import (
    Answers,
    TimeLimit,
    Watch,
    client,
    held_and_spent,
    stopped,
    storming,
    streamed,
    whole,
    within_run,
)
from tests.support.budgeted_calls import ASK

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 checks for signals at other places")

TOOL_USD = 0.001
_CALLS = ("CALL", "CALL_KW", "CALL_FUNCTION_EX")
_OURS = str(Path(otel_agentcost.__file__).parent)


class Interruption:
    """A trace function that raises at the `at`-th place where a signal handler could."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.places = 0
        self.where: str | None = None
        """The place where it raised; None if there were fewer."""
        self._before: tuple[int, str] = (0, "")

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Interruption | None:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes = True
        if event == "return":  # of a Python function: its caller goes on without a check
            self._before = (0, "")
        if event == "opcode" and self._is_checked(frame):
            self.places += 1
            if self.places == self.at:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}"
                self.handler(14, frame)
        return self

    def _is_checked(self, frame: FrameType) -> bool:
        own, instruction = id(frame), dis.opname[frame.f_code.co_code[frame.f_lasti]]
        (owner, before), self._before = self._before, (own, instruction)
        if instruction == "RESUME":
            # Python drops an exception that arrives where a finalizer begins before the first instruction of it. A
            # reservation that is lost so expires with its lease.
            return frame.f_code.co_name != "__del__"
        return instruction == "JUMP_BACKWARD" or (owner == own and before in _CALLS)

    def handler(self, number: int, frame: FrameType) -> None:
        """Raise like a signal handler, from a frame that has the interrupted one among its arguments."""
        del number, frame
        raise TimeLimit(self.at)


def dropped(made: openai.OpenAI) -> None:
    """A stream in a reference cycle, so that a collection finds it."""
    stream = made.chat.completions.create(**ASK, stream=True)
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect(1)


def never_read(made: openai.OpenAI) -> None:
    """The same, of a stream that was never read: no generator has begun that could see its end."""
    stream = made.chat.completions.create(**ASK, stream=True)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect(1)


def within_tool(made: openai.OpenAI) -> None:
    """A tool that makes a call."""
    with otel_agentcost.tool_call("look", usd=TOOL_USD):
        BEGUN.append("look")
        whole(made)


BEGUN: list[str] = []
"""The tools that began to run, each of which costs its price."""
Shape = Callable[[openai.OpenAI], None]
SHAPES: tuple[Shape, ...] = (whole, streamed, stopped, within_run, within_tool, dropped, never_read)
EVERY = {"quick": 19, "each place": 1}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("every", EVERY.values(), ids=EVERY)
def test_no_place_leaves_a_reservation_or_half_a_cost(
    shape: Shape, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is interrupted: nothing stays reserved, no span stays open, and a tool that began is charged once."""
    watch = Watch()
    with storming("memory://", watch):
        monkeypatch.setattr(sys, "unraisablehook", lambda _unraisable: None)  # Python drops what a finalizer raises
        made, outside = client(Answers()), context.get_current()
        BEGUN.clear()
        shape(made)
        at = 1
        while (interruption := interrupted(shape, made, at)).where is not None:
            assert CURRENT.get() is None, interruption.where
            context.attach(outside)
            settle()
            assert held_and_spent()[0] == {"nano_usd": 0, "calls": 0, "holds": 0}, interruption.where
            assert [span.name for span in watch.started if span.end_time is None] == [], interruption.where
            watch.started.clear()
            assert held_and_spent()[1]["tool_calls"] == len(BEGUN), interruption.where
            at += every
    assert interruption.places > 300  # it has found the places


def interrupted(shape: Shape, made: openai.OpenAI, at: int) -> Interruption:
    interruption = Interruption(at)
    before = sys.gettrace()
    sys.settrace(interruption)
    try:
        shape(made)
    except (TimeLimit, openai.APIConnectionError) as error:
        error.__traceback__ = None  # as an application that has handled it: nothing keeps its frames
    finally:
        sys.settrace(before)
    return interruption


def settle() -> None:
    """Let finalizers run, and what they leave for a safe moment."""
    for _ in range(2):
        gc.collect(1)
        settle_pending()
