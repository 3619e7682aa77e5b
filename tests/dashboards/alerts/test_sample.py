"""The alerts' queries, asked of a real Prometheus that holds two weeks of sample data: they say what was spent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from grafana.alerts.alert import Alert
from grafana.alerts.table import alerts
from grafana.alerts.thresholds import Thresholds
from grafana.preview.history import prometheus_with_sample
from grafana.preview.prometheus import Client
from grafana.preview.sample import Sample
from tests.support import prometheus

END = dt.datetime(2026, 11, 20, 16, tzinfo=dt.timezone.utc).timestamp()
HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0
NO_MINIMA = Thresholds(day_usd=0, user_usd=0, users=1, hour_usd=0, hour_weeks=1, floor_usd=0.01)
EVERY = {alert.name: alert for alert in alerts(NO_MINIMA)}


@pytest.fixture(scope="module")
def sample() -> Iterator[tuple[Client, Sample]]:
    """A Prometheus with the sample."""
    prometheus.needed()
    with prometheus_with_sample(END) as found:
        yield found


def values(client: Client, alert: Alert, label: str) -> dict[tuple[str, str], float]:
    """What an alert's query says of each environment and value of a label."""
    found = client.query(alert.query, END)
    return {(one.labels["deployment_environment_name"], one.labels[label]): one.last for one in found}


def spent(known: Sample, since: float, until: float, **whose: str) -> float:
    """Dollars on models and tools; `whose`: environment, service, user."""
    runs = [
        run
        for run in known.runs
        if whose.items()
        <= {"environment": run.agent.environment, "service": run.agent.service, "user": run.user}.items()
    ]
    return Sample(start=known.start, end=known.end, runs=runs).dollars(since, until)


@pytest.mark.parametrize("name", EVERY)
def test_prometheus_answers_every_alert(sample: tuple[Client, Sample], name: str) -> None:
    """No query and no whole rule is refused, and the rule picks from what its query says."""
    client, _ = sample
    alert = EVERY[name]
    assert len(client.query(alert.rule, END)) <= len(client.query(alert.query, END))


def test_a_day_is_compared_with_its_week(sample: tuple[Client, Sample]) -> None:
    """The ratio is that of the calls' own dollars."""
    client, known = sample
    found = values(client, EVERY["AgentcostDaySpend"], "service_name")
    assert len(found) > 1
    for (environment, service), ratio in found.items():
        whose = {"environment": environment, "service": service}
        day = spent(known, END - DAY, END, **whose)
        week = spent(known, END - DAY - WEEK, END - DAY, **whose)
        assert ratio == pytest.approx(day / (week / 7), rel=0.01), service


def test_an_hour_is_compared_with_that_of_past_weeks(sample: tuple[Client, Sample]) -> None:
    """Two weeks are known of four, and their mean is what the hour is held against."""
    client, known = sample
    found = values(client, EVERY["AgentcostHourSpend"], "service_name")
    assert len(found) > 1
    for (environment, service), ratio in found.items():
        whose = {"environment": environment, "service": service}
        hour, *past = (spent(known, END - at * WEEK - HOUR, END - at * WEEK, **whose) for at in range(3))
        assert ratio == pytest.approx(hour / max(0.01, sum(past) / 2), rel=0.01), service


def test_a_user_is_compared_with_all_dollars(sample: tuple[Client, Sample]) -> None:
    """Each user's share is of the environment's whole day, tools and calls without a user included."""
    client, known = sample
    found = values(client, EVERY["AgentcostUserShare"], "user_id")
    assert len(found) > 5
    for (environment, user), share in found.items():
        mine = spent(known, END - DAY, END, environment=environment, user=user)
        assert share == pytest.approx(mine / spent(known, END - DAY, END, environment=environment), rel=0.01), user
