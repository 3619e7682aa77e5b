"""Tables in which a Collector finds a line in the same time, however long the table is.

A table is a list of pieces in one statement, and the hash of a key is the number of its piece: OTTL evaluates the list
once, at the start, and takes one element of it. A piece is searched as text (`ottl.find`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from otel_agentcost.collector.ottl import SAID, cache, drop, put, text

__all__ = ["fnv", "load", "pieces"]

_KEYS_IN_A_PIECE: Final = 4


def load(table: Mapping[str, str], key: str, to: str, *conditions: str) -> Iterator[str]:
    """Yield the statements that load the piece of a table that can hold a key.

    The statement with the table is the same for each key and all conditions, so that a file has it once.

    Args:
        table: The lines by their keys; each begins with a line break.
        key: The path of the key.
        to: The path to which the piece is written.
        conditions: The conditions on which it is loaded.
    """
    number, found = cache("hash"), pieces(table)
    divisor = (len(found) + 1) // 2
    written = ",\n".join(map(text, found))
    at = f"{number} - {number} / {divisor} * {divisor} + {divisor - 1}"
    yield put(number, f"FNV({key})", *conditions)
    yield put(to, f"Coalesce([[\n{written}\n]])[{at}]", number + SAID)
    yield drop(number, number + SAID)


def pieces(table: Mapping[str, str]) -> list[str]:
    """Return the pieces of a table, whose number is odd.

    The number of a piece is the remainder of the hash, which is negative for half of the hashes, plus a constant.

    Args:
        table: The lines by their keys.
    """
    divisor = len(table) // (2 * _KEYS_IN_A_PIECE) + 1
    found = [""] * (2 * divisor - 1)
    for key, lines in table.items():
        found[_remainder(fnv(key), divisor) + divisor - 1] += lines
    return found


def fnv(key: str) -> int:
    """Return what the function `FNV` of OTTL returns: the FNV-1a hash of 64 bits, as a signed integer."""
    found = 0xCBF29CE484222325
    for byte in key.encode():
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found - 2**64 if found >= 2**63 else found


def _remainder(number: int, divisor: int) -> int:
    """Return the remainder with the sign of `number`, as in Go."""
    return number % divisor if number >= 0 else -(-number % divisor)
