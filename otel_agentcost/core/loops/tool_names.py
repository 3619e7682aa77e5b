"""Classify tools by the words of their names: tools that write, navigate, hand off, wait; and results that are pending.

As in `result_text`, such a judgement only ever lowers the weight of a repetition.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from otel_agentcost.core.loops.result_text import is_empty

__all__ = [
    "hands_off",
    "has_no_informative_result",
    "is_pending",
    "is_random",
    "is_write",
    "navigates",
    "sleeps",
    "waits",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAME: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_WRITES: Final = _words(
    """
    write edit create update delete remove insert add set put post send submit save store upload move rename
    copy replace patch apply modify book cancel order buy pay refund transfer click type press scroll navigate
    commit push merge close assign schedule reply comment append execute exec run bash shell terminal python
    code command install deploy restart start stop reset exchange return change register approve reject
    switch select fill login logout connect visit goto append advance handle mark complete answer
    """
)
_SILENT: Final = _words(
    """
    think thought note todo todos plan log memory remember say message print reflect ask
    """
)
_CHANCE: Final = _words("roll flip toss spin draw deal shuffle random dice coin")
_HANDS_OVER: Final = _words("transfer handoff handover delegate escalate")
_SCREENS: Final = _words("terminal process console stdout shell session")
_LOOKS: Final = _words("read get view show")
_STEERS: Final = _words("scroll press key click tap swipe next back forward move hover drag turn step")
_WAITS: Final = _words(
    """
    sleep wait delay pause await
    """
)
_POLLS: Final = _words(
    """
    status progress monitor watch stdin output poll inbox check listen receive
    """
)


@lru_cache(maxsize=1024)
def _name(tool: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _NAME.findall(tool[:80]))


def is_write(tool: str) -> bool:
    """Return whether a tool changes something, so that later reads can have other results."""
    return not _WRITES.isdisjoint(_name(tool))


def has_no_informative_result(tool: str) -> bool:
    """Return whether a tool is called for its arguments, not for its result: notes, messages, writes."""
    return not (_SILENT | _WRITES).isdisjoint(_name(tool))


def navigates(tool: str) -> bool:
    """Return whether a tool navigates in a view that other tools show."""
    return not _STEERS.isdisjoint(_name(tool))


def is_random(tool: str) -> bool:
    """Return whether a tool is random: equal results mean nothing."""
    return not _CHANCE.isdisjoint(_name(tool))


def hands_off(tool: str) -> bool:
    """Return whether a tool hands the conversation to another agent."""
    return not _HANDS_OVER.isdisjoint(_name(tool))


_PENDING_WORDS: Final = (
    r"running|pending|in[ _-]?progress|queued|processing|waiting|building|starting|deploying|provisioning"
    r"|initiali[sz]ing|in[ _-]queue|not[ _-](?:yet[ _-])?(?:ready|finished|complete|completed|done|started|available)"
    r"|incomplete|executing|working(?! (?:days?|hours?))|uploading|downloading|compiling|installing"
    r"|unfinished|creating|submitted|accepted|scheduled|progressing"
    r"|await(?:s|ing)|requires[_ -](?:action|approval|confirmation|review)"
)
_PENDING: Final = re.compile(
    rf"(?:\b|_|(?-i:(?<=[a-z])(?=[A-Z])))(?:{_PENDING_WORDS}"
    r"|no (?:new|more)(?: \w+)? (?:output|data|messages?|events?|lines?|logs?)(?: yet)?"
    r"|no output yet|nothing (?:new )?yet|not \w+ yet|keep waiting|check (?:back|again)"
    r"|(\d+) ?(?:of|out of|/) ?(?!\1\b)\d+ (?:\w+ )?(?:replicas?|pods?|nodes?|workers?|checks?|tasks?|jobs?)|(?-i:PD)"
    r"|\d{1,2}(?:\.\d+)? ?% (?:done|complete\w*|of))\b",
    re.IGNORECASE,
)
_PENDING_FIELD: Final = re.compile(
    r'"\w*(?:status|state|phase|stage|progress)"\s*:\s*"'
    r"(?!(?:missing|failing|warning|existing|nothing|outstanding|wyoming)\b)"
    rf'(?:(?:\w*[_ -])?(?:{_PENDING_WORDS})|[a-z]+ing)(?:[_ -]\w*)?"'
    r'|"(?:done|finished|completed|complete|ready)"\s*:\s*false|"ready\w*"\s*:\s*0\b'
    r'|"(?:pending|queued|running|in_?progress|waiting)"\s*:\s*(?:[1-9]|true)|"(?:\w+_)?await(?:s|ing)\w*"\s*:\s*"'
    r'|"\w+"\s*:\s*"awaiting(?![a-z])',
    re.IGNORECASE,
)
_LONGEST: Final = 300


def is_pending(text: str) -> bool:
    """Return whether a result reports that something is not finished: waiting for it is not a loop."""
    if len(text) > _LONGEST:
        return False
    return (_PENDING_FIELD if text[:1] == "{" else _PENDING).search(text) is not None


_SLEEPS: Final = re.compile(r'(?:^|["\s;&|])(?:sleep|wait)\s*["(]?\d|time\.sleep', re.IGNORECASE)
_COMMAND_WAITS: Final = re.compile(rf"{_SLEEPS.pattern}|write_stdin", re.IGNORECASE)


def waits(tool: str, arguments: str, result: str) -> bool:
    """Return whether a call waits, or polls something that is not finished."""
    name = _name(tool)
    if not name.isdisjoint(_WAITS) or is_pending(result):
        return True
    polls = not name.isdisjoint(_POLLS) or not (name.isdisjoint(_SCREENS) or name.isdisjoint(_LOOKS))
    return (polls and is_empty(result)) or _COMMAND_WAITS.search(arguments) is not None


def sleeps(tool: str, arguments: str) -> bool:
    """Return whether the purpose of a call is to wait."""
    if not _name(tool).isdisjoint(_WAITS):
        return True
    return ("sleep" in arguments or "wait" in arguments) and _SLEEPS.search(arguments) is not None
