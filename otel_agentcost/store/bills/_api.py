"""Shared by the modules that ask an API: the key, the SDK, and errors that never show what a provider answered.

A key is read from the environment of the command alone. An answer to a wrong key can quote it, so that errors have the
status of an answer and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from otel_agentcost.diagnostics import without_password
from otel_agentcost.store.bills.bill import BillError

TIMEOUT: Final = 60.0
"""Seconds for one answer."""

_MOST_PAGES: Final = 10_000


def key_of(environ: Mapping[str, str], names: tuple[str, ...], what: str) -> str:
    """Return the key in the first variable that is set.

    Args:
        environ: The environment of the command.
        names: The variables, the usual one first.
        what: The kind of the key, for people.

    Raises:
        BillError: None of them is set, or what is set cannot be sent.
    """
    for name in names:
        if key := environ.get(name, "").strip():
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise BillError(f"{name} has a character that no key has, such as a line break: set it again.")
            return key
    raise BillError(f"There is no key: set {' or '.join(names)} to {what} for this command only.")


def sdk(module: str, distribution: str) -> Any:
    """Return the SDK of a provider.

    Raises:
        BillError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise BillError(f"The SDK {distribution} is not installed: pip install {distribution}") from error


def failed(error: Exception, provider: str, variable: str, address: str) -> BillError:
    """Return an error of an SDK or a transport as one sentence, without the answer."""
    status = getattr(error, "status_code", None)
    where = without_password(address)
    if status in (401, 403):
        return BillError(
            f"{provider} refused the key in {variable} ({status}): it must be an admin key that may read usage and "
            "costs."
        )
    if status == 429:
        return BillError(f"{provider} has had too many requests (429): try again later, or ask for fewer days.")
    if isinstance(status, int):
        hint = "try again later" if status >= 500 else "see that the address and the period are right"
        return BillError(f"{provider} answered {status} at {where}: {hint}.")
    kind = type(error).__name__
    if "Connection" in kind or "Timeout" in kind or isinstance(error, OSError):
        return BillError(f"{provider} cannot be reached at {where} ({kind}).")
    return BillError(f"The answer of {provider} at {where} cannot be read ({kind}).")


def pages(ask: Callable[[str | None], Any], provider: str) -> Iterator[Any]:
    """Yield the pages of a list. `ask` returns the page that a cursor names; None for the first one.

    Raises:
        BillError: The pages have no end, or one of them is no page.
    """
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        page = ask(cursor)
        if page is None or getattr(page, "data", None) is None:
            raise BillError(f"The answer of {provider} is no page of a list: see that the address is right.")
        yield page
        cursor = getattr(page, "next_page", None)
        if getattr(page, "has_more", None) is False or not cursor:
            if getattr(page, "has_more", None):
                raise BillError(f"{provider} says that there are more pages, and does not say which: try again later.")
            return
        if cursor in seen:
            break
        seen.add(cursor)
    raise BillError(f"The pages of {provider} have no end: try again later, or ask for fewer days.")


def dollars(currency: object, provider: str) -> None:
    """Raise `BillError` if a currency is not US dollars."""
    if not isinstance(currency, str) or currency.strip().upper() != "USD":
        said = f"in {currency!s:.10}" if currency else "in a currency that it does not name"
        raise BillError(f"The bill of {provider} is {said}: only US dollars can be compared.")
