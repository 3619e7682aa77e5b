"""What the only span of a call says of its price."""

from __future__ import annotations

from tests.support.in_memory import Telemetry


def spent(telemetry: Telemetry) -> tuple[object, object, object, object]:
    """The provider on the only span, the price, the dollars, and the mark of an assumed provider."""
    given = telemetry.attributes()
    return (
        given["gen_ai.provider.name"],
        given.get("agentcost.price"),
        given.get("agentcost.cost.usd"),
        given.get("agentcost.price.assumed"),
    )
