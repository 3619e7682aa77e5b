"""The bills that are read from an export: AWS's CUR 2.0 and FOCUS, and Google's Cloud Billing."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.store.bills import bill_source
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine

CUR = {
    "line_item_usage_start_date": "2026-11-02T00:00:00.000Z",
    "line_item_product_code": "AmazonBedrock",
    "line_item_line_item_type": "Usage",
    "line_item_usage_type": "USW2-Claude4.6Sonnet-cache-read-input-token-count",
    "line_item_usage_amount": "5372.659",
    "line_item_unblended_cost": "1.6117977",
    "line_item_currency_code": "USD",
    "pricing_unit": "1K tokens",
}
FOCUS = {
    "ChargePeriodStart": "2026-11-02T00:00:00Z",
    "BilledCost": "0.0972873",
    "BillingCurrency": "USD",
    "ServiceName": "Amazon Bedrock",
    "ChargeCategory": "Usage",
    "ConsumedQuantity": "29.481",
    "ConsumedUnit": "1K tokens",
    "x_UsageType": "USW2-Claude4.5Sonnet-input-tokens",
}
GOOGLE: dict[str, Any] = {
    "service": {"description": "Vertex AI"},
    "sku": {"description": "Gemini 2.5 Flash GA Text Output - Predictions"},
    "usage_start_time": "2026-11-02 08:00:00 UTC",
    "cost": 2.5,
    "currency": "USD",
    "cost_type": "regular",
    "usage": {"amount": 1_000_000, "unit": "count"},
    "credits": [{"name": "Promotion", "amount": -0.5}],
}


def read(provider: str, path: Path) -> Bill:
    """The bill in a file."""
    return bill_source(provider).fetch(Ask(date(2026, 11, 1), date(2026, 11, 8), {}, None, str(path)))


def csv_file(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """A CSV file, compressed if its name says so."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_cur_has_dollars_and_thousands_of_tokens(tmp_path: Path) -> None:
    """By model, kind and tier; other services are left out, and credits are no usage."""
    rows = [
        CUR,
        {**CUR, "line_item_usage_type": "USE1-Claude4Sonnet-cache-write-input-token-count-1-hour"},
        {**CUR, "line_item_usage_type": "USE1-NovaLite-input-tokens-priority", "line_item_usage_amount": "2"},
        {**CUR, "line_item_usage_type": "USE1-Llama4-Maverick-17B-output-tokens-batch", "line_item_usage_amount": "1"},
        {**CUR, "line_item_usage_type": "USE1-Guardrail-ContentPolicy", "line_item_unblended_cost": "0.2"},
        {**CUR, "line_item_line_item_type": "Credit", "line_item_unblended_cost": "-1"},
        {**CUR, "line_item_product_code": "AmazonS3", "line_item_usage_type": "TimedStorage"},
    ]
    bill = read("aws", csv_file(tmp_path / "cur.csv.gz", rows))
    assert bill.lines == [
        BillLine("2026-11-02", "Claude4.6Sonnet", "", "cache read", "tokens", 1_611_797_700, None, 5_372_659),
        BillLine("2026-11-02", "Claude4Sonnet", "", "cache write 1h", "tokens", 1_611_797_700, None, 5_372_659),
        BillLine("2026-11-02", "NovaLite", "priority", "input", "tokens", 1_611_797_700, None, 2000),
        BillLine("2026-11-02", "Llama4-Maverick-17B", "batch", "output", "tokens", 1_611_797_700, None, 1000),
        BillLine("2026-11-02", "", "", "USE1-Guardrail-ContentPolicy", "tool", 200_000_000),
        BillLine("2026-11-02", "", "", "credit", "other", -1_000_000_000),
    ]


def test_focus_has_the_same(tmp_path: Path) -> None:
    """Under its own names."""
    bill = read("aws", csv_file(tmp_path / "focus.csv", [FOCUS, {**FOCUS, "ChargeCategory": "Tax", "BilledCost": "1"}]))
    assert bill.lines == [
        BillLine("2026-11-02", "Claude4.5Sonnet", "", "input", "tokens", 97_287_300, None, 29_481),
        BillLine("2026-11-02", "", "", "tax", "other", 1_000_000_000),
    ]


def test_google_has_credits_beside_its_costs(tmp_path: Path) -> None:
    """As JSON lines with nested fields, or as CSV."""
    path = tmp_path / "bill.jsonl"
    grounding = {**GOOGLE, "sku": {"description": "Grounding with Google Search"}, "credits": []}
    rows = [GOOGLE, grounding, {**GOOGLE, "cost_type": "tax"}, {**GOOGLE, "service": {"description": "BigQuery"}}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    bill = read("google", path)
    assert bill.lines == [
        BillLine("2026-11-02", "", "", "credit Promotion", "other", -500_000_000),
        BillLine("2026-11-02", "Gemini 2.5 Flash", "", "output", "tokens", 2_500_000_000, None, 1_000_000),
        BillLine("2026-11-02", "", "", "Grounding with Google Search", "tool", 2_500_000_000),
        BillLine("2026-11-02", "", "", "tax", "other", 2_500_000_000),
    ]
    cell = json.dumps(GOOGLE["credits"])
    plain = {"service_description": "Vertex AI", "sku_description": GOOGLE["sku"]["description"], "usage_amount": "1e6"}
    named = {name: str(GOOGLE[name]) for name in ("usage_start_time", "cost", "currency", "cost_type")}
    cells = read("google", csv_file(tmp_path / "cells.csv", [{**plain, **named, "credits": cell}]))
    assert (cells.lines, len(cells.notes)) == (bill.lines[:2], 1)
    none = [{**plain, **named, "credits": text} for text in ("", "[]", "null")]
    assert [line.sort for line in read("google", csv_file(tmp_path / "none.csv", none)).lines] == ["tokens"] * 3
    flat = {
        "service_description": "Generative Language API",
        "sku_description": "Gemini 2.5 Pro Batch Audio Input",
        "usage_start_time": "2026-11-02T08:00:00Z",
        "cost": "0.1",
        "currency": "USD",
        "usage_amount": "12",
    }
    (line,) = read("google", csv_file(tmp_path / "bill.csv", [flat])).lines
    assert (line.model, line.tier, line.kind, line.tokens) == ("Gemini 2.5 Pro", "batch", "audio input", 12)
    assert "no column credits" in read("google", tmp_path / "bill.csv").notes[1]


@pytest.mark.parametrize(
    ("provider", "name", "content", "said"),
    [
        ("aws", "cur.parquet", "PAR1", "export a .csv, .json or .jsonl"),
        ("aws", "cur.csv", "", "is empty"),
        ("aws", "cur.csv.gz", "no gzip", "cannot be read"),
        ("aws", "cur.csv", "date,cost\n1,2\n", "neither the columns of CUR 2.0 nor those of FOCUS"),
        ("aws", "bill.jsonl", json.dumps(GOOGLE), "neither the columns"),
        ("google", "bill.jsonl", json.dumps(CUR), "is no export of Cloud Billing"),
        ("google", "bill.json", "[1, 2]", "cannot be read"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "currency": "EUR"}), "only US dollars"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "cost": "much"}), "no number"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "cost": None}), "no number"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "service": {"description": "BigQuery"}}), "no line of Gemini"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "usage_start_time": "then"}), "no time"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "credits": "[{'amount': -1}]"}), "no JSON .* TO_JSON_STRING"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "credits": "-0.5"}), "no list"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "credits": [-0.5]}), "no list"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "credits": [{"name": "P"}]}), "no number"),
        ("google", "bill.jsonl", json.dumps({**GOOGLE, "credits_amount": -0.5}), "in a column credits_amount"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(
    tmp_path: Path, provider: str, name: str, content: str, said: str
) -> None:
    """A bill of another provider or currency, or a file of another form."""
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BillError, match=said) as raised:
        read(provider, path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("provider", ["aws", "google"])
def test_a_missing_file_is_said(provider: str, tmp_path: Path) -> None:
    """Whether none is named, or none is there."""
    with pytest.raises(BillError, match="with --file"):
        bill_source(provider).fetch(Ask(date(2026, 11, 1), date(2026, 11, 2), {}))
    with pytest.raises(BillError, match="There is no file"):
        read(provider, tmp_path / "nothing.csv")
