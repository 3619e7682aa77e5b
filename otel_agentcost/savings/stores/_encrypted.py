"""A store whose values are encrypted with a key of the user's: AES-256-GCM, through the package `cryptography`.

The key of an entry, which stands for its scope too, and the time it was stored are bound to the value: a value that was
moved to another entry, or made younger, is not read. What cannot be read is as if it were not there.
"""

from __future__ import annotations

import os
import struct
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any, Final

from otel_agentcost.core.cache_store import CacheStore, Size, Stored
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.savings.stores import StoreError

__all__ = ["EncryptedStore", "key_bytes"]

_FILE: Final = "file:"
_NONCE: Final = 12
_VERSION: Final = b"\x01"


def key_bytes(written: str) -> bytes:
    """Return the 32 bytes of a key.

    Args:
        written: URL-safe base64, as Fernet keys are written, or `file:` and the path of a file that has it.

    Raises:
        StoreError: The file cannot be read, or there is no key. The text has nothing of the key.
    """
    text, where = written.strip(), "OTEL_AGENTCOST_CACHE_KEY"
    if text.lower().startswith(_FILE):
        path = text[len(_FILE) :]
        where = f"The file {path!r} of OTEL_AGENTCOST_CACHE_KEY"
        try:
            text = Path(path).expanduser().read_text(encoding="ascii").strip()
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise StoreError(f"{where} cannot be read ({reason}): nothing is cached.") from None
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise StoreError(f"{where} has no key of 32 bytes in URL-safe base64: nothing is cached.")
    return key


class EncryptedStore:
    """Implements `CacheStore`."""

    def __init__(self, store: CacheStore, key: bytes) -> None:
        """Wrap `store`.

        Args:
            store: The store.
            key: 32 bytes.

        Raises:
            StoreError: The package `cryptography` is missing.
        """
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (an extra)
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 (the same)
        except ImportError as error:
            raise StoreError(
                "OTEL_AGENTCOST_CACHE_KEY needs cryptography: pip install 'otel-agentcost[encryption]'. Nothing is "
                "cached."
            ) from error
        self._store = store
        self.shared = store.shared
        self.blocking = store.blocking
        self._cipher: Any = AESGCM(key)
        self._unreadable: type[Exception] = InvalidTag

    def get(self, key: str, now: float) -> Stored | None:
        """See `CacheStore`. None for a value that was encrypted with another key, or changed."""
        found = self._store.get(key, now)
        if found is None:
            return None
        nonce, value = found.value[1 : 1 + _NONCE], found.value[1 + _NONCE :]
        bound = found.value[:1] + _bound(key, found.at)
        try:
            plain: bytes = self._cipher.decrypt(nonce.ljust(_NONCE), value, bound)
        except self._unreadable:
            warn_once(
                "encrypted cache",
                "otel-agentcost: the cache has entries that OTEL_AGENTCOST_CACHE_KEY does not open: of another key, or "
                "changed. They are not used.",
            )
            return None
        return Stored(plain, found.at)

    def put(self, key: str, scope: str, value: bytes, now: float, expires: float) -> bool:
        """See `CacheStore`."""
        nonce = os.urandom(_NONCE)
        sealed = _VERSION + nonce + self._cipher.encrypt(nonce, value, _VERSION + _bound(key, now))
        return self._store.put(key, scope, sealed, now, expires)

    def claim(self, key: str, owner: str, now: float, until: float) -> bool:
        """See `CacheStore`."""
        return self._store.claim(key, owner, now, until)

    def unclaim(self, key: str, owner: str) -> None:
        """See `CacheStore`."""
        self._store.unclaim(key, owner)

    def clear(self, scope: str | None) -> int:
        """See `CacheStore`."""
        return self._store.clear(scope)

    def size(self, now: float) -> Size:
        """See `CacheStore`."""
        return self._store.size(now)

    def close(self) -> None:
        """See `CacheStore`."""
        self._store.close()


def _bound(key: str, at: float) -> bytes:
    """Return what is bound to a value: its key and when it was stored."""
    return struct.pack("<d", at) + key.encode("utf-8", "surrogatepass")
