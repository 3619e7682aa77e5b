"""The setting of the labels for the bill."""

from __future__ import annotations

from otel_agentcost import Settings
from otel_agentcost.calls.bill_labels import ATTRIBUTES
from tests.settings.test_settings import load, problem

NAME = "OTEL_AGENTCOST_BILL_LABELS"


def test_labels_are_names_of_attribution() -> None:
    """Each once, in any case; off by default."""
    assert load().bill_labels == ()
    assert load({NAME: "Team, feature,team"}).bill_labels == ("team", "feature")
    assert Settings(bill_labels=tuple(ATTRIBUTES)).bill_labels == tuple(ATTRIBUTES)


def test_an_unknown_label_is_said_and_the_others_are_in_effect() -> None:
    """With the nearest known one."""
    assert "where 'taem' is none of user, tenant, team, feature, agent" in problem({NAME: "taem,user"})
    assert load({NAME: "taem,user"}).bill_labels == ("user",)
    assert "where 'conversation' is none of" in problem({NAME: "conversation"})
