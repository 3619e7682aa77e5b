"""`agentcost batches`: list the open batches of the ledger, and settle those whose results are there.

Settling asks each provider with its own SDK and the credentials of the environment, and reads the results as an
application would: the instrumentation of this package counts them, once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib import import_module
from time import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from otel_agentcost.cli import Subparsers
from otel_agentcost.cli._shared_ledger import shared_ledger
from otel_agentcost.core import money, semconv
from otel_agentcost.core.batch import KeptBatch, batch_verbs
from otel_agentcost.core.batch_record import BatchRecord
from otel_agentcost.core.origin import without_secrets
from otel_agentcost.guard.ledger import Ledger
from otel_agentcost.settings import from_environment

SUMMARY = "List the open batches of the ledger, and settle those that have results."

_COLUMNS = ("batch", "provider", "created", "whose", "model", "lines", "usd", "state")


class _Unread(Exception):
    """A batch is not read; the text says why."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to `agentcost`."""
    example = (
        "Example: OTEL_AGENTCOST_LEDGER=redis://localhost:6379/0 opentelemetry-instrument agentcost batches settle"
    )
    parser = subparsers.add_parser("batches", help=SUMMARY, description=SUMMARY, epilog=example)
    parser.set_defaults(run=show)
    commands = parser.add_subparsers(dest="batches_command", metavar="COMMAND", title="commands")
    text = "Read the results of open batches with the provider's SDK, and count what they cost."
    command = commands.add_parser("settle", help=text, description=text, epilog=example)
    command.add_argument(
        "--base-url",
        metavar="URL",
        help="Also ask this address for the batches that were created there. Your credentials are sent to it. Default: "
        "only the address that the SDK uses by itself.",
    )
    command.set_defaults(run=settle)


def show(arguments: argparse.Namespace) -> int:
    """List the open batches."""
    del arguments
    ledger = _ledger()
    rows = [_row(each, "open") for each in batch_verbs(ledger).open_batches(now=time())]
    ledger.close()
    _print(rows)
    return 0


def settle(arguments: argparse.Namespace) -> int:
    """Settle what has results. Return 1 if a batch could not be asked for."""
    from otel_agentcost import instrument, uninstrument  # noqa: PLC0415 (only this command patches SDKs)

    ledger = _ledger()
    verbs = batch_verbs(ledger)
    rows: list[tuple[str, ...]] = []
    code = 0
    instrument()
    try:
        for each in verbs.open_batches(now=time()):
            try:
                state = _read(BatchRecord.read(each.record), arguments.base_url)
            except _Unread as reason:
                state, code = str(reason), 1
            except Exception as error:  # of an SDK: another batch may still be read
                state, code = f"{type(error).__name__}: {error!s:.100}", 1
            found = verbs.find_batch(each.key, now=time()) or each
            rows.append(_row(found, state if found.open else "settled"))
    finally:
        uninstrument()
        ledger.close()
    _print(rows)
    return code


def _ledger() -> Ledger:
    return shared_ledger(from_environment(), ", which create the batches")


# --- the table ---


def _row(kept: KeptBatch, state: str) -> tuple[str, ...]:
    record = BatchRecord.read(kept.record)
    whose = (record.attribution.get(name) for name in (semconv.USER, semconv.AGENT, semconv.TEAM, semconv.FEATURE))
    at = datetime.fromtimestamp(record.at, timezone.utc)
    usd = f"{money.from_nano(kept.nano_usd):.6f}" if kept.lines else "-"
    return (
        record.id,
        record.said,
        f"{at:%Y-%m-%d %H:%M}",
        next(filter(None, whose), "-"),
        ", ".join(record.models) or "-",
        str(kept.lines),
        usd,
        state,
    )


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        print("No open batches.")
        return
    table = (_COLUMNS, *rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    for row in table:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


# --- the providers ---


def _read(record: BatchRecord, trusted: str | None) -> str:
    """Read the results of a batch, if it has some. Return the state that its provider says.

    Raises:
        _Unread: It is not read, because of its provider, its address, or a missing SDK.
    """
    reader = _READERS.get((record.format, record.said))
    if reader is None:
        raise _Unread("not read by this command: read its results in a program")
    try:
        module: Any = import_module(reader.module)
    except ImportError as error:
        raise _Unread(f"its SDK is not installed: pip install {reader.distribution}") from error
    return reader.read(module, record, trusted)


def _checked(record: BatchRecord, used: str, trusted: str | None) -> None:
    """Raise `_Unread` if `used`, the address of a client, is not that of the batch: credentials go nowhere else."""
    used = without_secrets(used)
    if _is_under(record, used):
        return
    hint = "" if trusted else ": set it in the environment, or pass --base-url"
    raise _Unread(f"created at {record.base_url:.80}, and the SDK would ask {used:.80}{hint}")


def _given(record: BatchRecord, trusted: str | None) -> str | None:
    """Return the address of the batch if the user trusts it."""
    if trusted is None or not _is_under(record, without_secrets(trusted)):
        return None
    given = urlsplit(trusted)  # its user and its query are those of the user of this command
    return urlsplit(record.base_url)._replace(netloc=given.netloc, query=given.query).geturl()


def _is_under(record: BatchRecord, address: str) -> bool:
    return f"{record.base_url.rstrip('/')}/".startswith(f"{address.rstrip('/')}/")


def _openai(module: Any, record: BatchRecord, trusted: str | None) -> str:
    with module.OpenAI(base_url=_given(record, trusted)) as client:
        _checked(record, str(client.base_url), trusted)
        batch = client.batches.retrieve(record.id)
        if batch.output_file_id is not None:
            client.files.content(batch.output_file_id)
        return str(batch.status)


def _anthropic(module: Any, record: BatchRecord, trusted: str | None) -> str:
    with module.Anthropic(base_url=_given(record, trusted)) as client:
        _checked(record, str(client.base_url), trusted)
        batch = client.messages.batches.retrieve(record.id)
        if batch.results_url is not None:
            for _ in client.messages.batches.results(record.id):
                pass
        return str(batch.processing_status)


def _gemini(module: Any, record: BatchRecord, trusted: str | None) -> str:
    given = _given(record, trusted)
    client = module.Client(http_options={"base_url": given} if given else None)
    _checked(record, str(client._api_client._http_options.base_url), trusted)  # noqa: SLF001 (no public name)
    job = client.batches.get(name=record.id)  # with its results, if they are not in a file
    if job.dest is not None and job.dest.file_name is not None:
        client.files.download(file=job.dest.file_name)
    return job.state.name if job.state is not None else "unknown"


def _mistral(module: Any, record: BatchRecord, trusted: str | None) -> str:
    given = trusted if _given(record, trusted) else None
    with module.Mistral(server_url=given) as client:  # it reads its key from the environment
        _checked(record, client.sdk_configuration.get_server_details()[0], trusted)
        job = client.batch.jobs.get(job_id=record.id)
        if job.output_file:
            client.files.download(file_id=job.output_file).read()
        elif job.status == "SUCCESS":
            client.batch.jobs.get(job_id=record.id, inline=True)
        return str(job.status)


class _Reader(NamedTuple):
    module: str
    distribution: str
    read: Callable[[Any, BatchRecord, str | None], str]


_READERS = {
    ("openai_batches", "openai"): _Reader("openai", "openai", _openai),
    ("anthropic_batches", "anthropic"): _Reader("anthropic", "anthropic", _anthropic),
    ("gemini_batches", "gcp.gemini"): _Reader("google.genai", "google-genai", _gemini),
    ("mistral_batches", "mistral_ai"): _Reader("mistralai.client", "mistralai", _mistral),
}
"""The readers by wire format and provider."""
