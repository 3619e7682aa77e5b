"""Parse the settings of where caches keep what they keep, and of the key that encrypts it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from otel_agentcost.plugins import scheme_of
from otel_agentcost.settings.parsers import InvalidValue
from otel_agentcost.settings.schemes import CACHE_STORES


@dataclass(frozen=True, slots=True)
class CacheKey:
    """A key for what is kept, or the file that has it. Its text is never shown."""

    written: str = field(repr=False)

    def __str__(self) -> str:
        """Return what may be shown: the file, and nothing of a key."""
        return self.written if self.written.lower().startswith("file:") else "***"


def to_cache_store(value: object) -> str:
    """Parse the URL of a store. Of it only the scheme is checked; opening it checks the rest."""
    written = str(value).strip()
    if not isinstance(value, str) or not CACHE_STORES.is_known(scheme_of(written)):
        raise InvalidValue(f"which is not a store: {CACHE_STORES.hint()}")
    return written


def to_cache_key(value: object) -> CacheKey:
    """Parse a key: 32 bytes as Fernet keys are written, or `file:` and a path."""
    if isinstance(value, CacheKey):
        return value
    written = str(value).strip()
    if not re.fullmatch(r"(?i:file:).+|[\w-]{43}=?", written, re.ASCII | re.DOTALL):
        # The rest is a key that opens nothing: what was to be encrypted is not kept in plain text instead.
        raise InvalidValue("which is no key: write 32 bytes in URL-safe base64, or file:/path/to/key", CacheKey(""))
    return CacheKey(written)
