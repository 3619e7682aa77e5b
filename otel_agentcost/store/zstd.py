"""Zstandard: of the standard library since Python 3.14, before of the package zstandard, if it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from io import BytesIO
from typing import IO, Any, Final

MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""What compressed data begins with."""

_PIECE: Final = 1 << 16


class ZstdError(Exception):
    """Data cannot be decompressed."""


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a compressed file. Raises `ZstdError`."""
    rest = b""
    for piece in _pieces(file):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def unpacked(block: bytes) -> bytes:
    """Return a decompressed block. Raises `ZstdError`."""
    return b"".join(_pieces(BytesIO(block)))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is in the frames of a file. A last frame that is cut off is an error: readers of streams hide it."""
    start, failure = _module()
    frame: Any = None
    try:
        while piece := file.read(_PIECE):
            while piece:
                frame = start() if frame is None else frame
                yield bytes(frame.decompress(piece))
                piece, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except failure as error:
        raise ZstdError(str(error)) from error
    if frame is not None:
        raise ZstdError("it is cut off")


def _module() -> tuple[Callable[[], Any], type[Exception]]:
    """Return what begins to decompress a frame, and the exception that it raises."""
    try:
        standard: Any = import_module("compression.zstd")
    except ImportError:
        pass
    else:
        return standard.ZstdDecompressor, standard.ZstdError
    try:
        import zstandard  # noqa: PLC0415 (before Python 3.14)
    except ImportError as error:
        raise ZstdError("it is compressed with zstd: pip install zstandard, or use Python 3.14") from error
    return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
