"""The values of `trafficType`: the tier at which Google served a call, natively and in its OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["PREPAID", "PREPAID_REASON", "TIERS"]

TIERS: Final[Mapping[str, str]] = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "ON_DEMAND": "standard",
}
"""The service tier of a traffic type (https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/GenerateContentResponse)."""

PREPAID: Final = "provisioned_throughput"
PREPAID_REASON: Final = "the tokens were served from capacity paid in advance (provisioned throughput)"
