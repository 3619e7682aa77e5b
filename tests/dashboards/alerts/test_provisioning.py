"""What Grafana reads at its start, and what `docker compose` mounts: each file is there, and they fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.collector import find, validate

ROOT = Path(__file__).resolve().parents[3]
GRAFANA = ROOT / "grafana"
PROVISIONING = GRAFANA / "provisioning"
FOLDER = "/otel-lgtm/grafana/conf/provisioning"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def services(*names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        for service, said in read(GRAFANA / name)["services"].items():
            found.setdefault(service, []).append(said)
    return found


def mounts(service: list[dict[str, Any]]) -> dict[str, Path]:
    """Where in the container which file is; named volumes are left out."""
    found = {}
    for said in service:
        for volume in said["volumes"]:
            source, target = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).removesuffix(":ro").split(":")
            if source.startswith("."):
                found[target] = (GRAFANA / source).resolve()
    return found


def test_each_mounted_path_exists() -> None:
    """A path that is not there would be made by Docker, as an empty folder."""
    for service in services("compose.yaml", "compose.notify.yaml").values():
        assert mounts(service)
        assert [str(path) for path in mounts(service).values() if not path.exists()] == []


def test_images_are_pinned_and_ports_are_of_this_machine() -> None:
    """What runs next year is what runs today, and nobody on the network is an administrator."""
    found = services("compose.yaml")
    assert all(re.search(r":\d+\.\d+\.\d+$", said["image"]) for (said,) in found.values())
    ports = [port for (said,) in found.values() for port in said["ports"]]
    assert sorted(ports) == ["127.0.0.1:3000:3000", "127.0.0.1:4317:4317", "127.0.0.1:4318:4318"]


def test_the_collector_of_compose_is_the_one_that_is_tested() -> None:
    """The image's release is that of the collector that tests are run with."""
    (said,) = services("compose.yaml")["collector"]
    assert said["image"].rpartition(":")[2] == read(ROOT / "tools/collector.yaml")["dist"]["version"]


def test_the_collector_of_compose_takes_its_files() -> None:
    """`otelcol validate` on exactly the files and the environment of compose.yaml."""
    if find() is None:
        pytest.skip("no collector is built here: python -m tools.collector")
    (said,) = services("compose.yaml")["collector"]
    paths = mounts([said])
    files = []
    for option in said["command"]:
        name = option.removeprefix("--config=")
        folder = next(target for target in paths if name == target or name.startswith(f"{target}/"))
        files.append(paths[folder] / name[len(folder) + 1 :] if name != folder else paths[folder])
    environment = {key: str(value) for key, value in said["environment"].items() if "$" not in str(value)}
    assert validate(files, environment) == ""


def test_variables_of_compose_are_known_to_the_files() -> None:
    """Each AGENTCOST_ variable that compose.yaml sets is one that a file reads."""
    (said,) = services("compose.yaml")["collector"]
    texts = "".join(path.read_text() for path in (ROOT / "collector_config").rglob("*.yaml"))
    assert all(f"${{env:{name}" in texts for name in said["environment"])
    notify = read(GRAFANA / "compose.notify.yaml")["services"]["lgtm"]["environment"]
    points = (PROVISIONING / "alerting/contact-points.yaml").read_text()
    assert {name for name in notify if name.startswith("AGENTCOST_")} == set(re.findall(r"\$\{(\w+)\}", points))


def test_boards_are_where_the_provider_looks() -> None:
    """The folder that Grafana is told to read is the one that is mounted, and its home is one of the boards."""
    (said,) = services("compose.yaml")["lgtm"]
    (provider,) = read(PROVISIONING / "dashboards/agentcost.yaml")["providers"]
    boards = mounts([said])[provider["options"]["path"]]
    home = said["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"])
    assert json.loads((boards / Path(home).name).read_text())["title"]
    assert all(target.startswith((FOLDER, provider["options"]["path"])) for target in mounts([said]))


def test_rules_and_exemplars_name_data_sources_that_exist() -> None:
    """The uids in rules and in the link of exemplars are those of the data sources."""
    sources = {one["uid"]: one for one in read(PROVISIONING / "datasources/agentcost.yaml")["datasources"]}
    assert {uid: one["type"] for uid, one in sources.items()} == {"prometheus": "prometheus", "tempo": "tempo"}
    (link,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert link == {"name": "trace_id", "datasourceUid": "tempo"}
    groups = read(PROVISIONING / "alerting/rules.yaml")["groups"]
    asked = {node["datasourceUid"] for group in groups for rule in group["rules"] for node in rule["data"]}
    assert asked == {"prometheus", "__expr__"}


def test_policies_lead_to_contact_points_and_reach_every_alert() -> None:
    """No route ends at a contact point that is not there; folder and severities are those of the rules."""
    points = read(PROVISIONING / "alerting/contact-points.yaml")["contactPoints"]
    names = {point["name"] for point in points}
    assert {receiver["type"] for point in points for receiver in point["receivers"]} == {"email", "slack", "webhook"}
    (policy,) = read(PROVISIONING / "alerting/policies.yaml")["policies"]
    assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} == names
    groups = read(PROVISIONING / "alerting/rules.yaml")["groups"]
    labels = {
        "grafana_folder": {group["folder"] for group in groups},
        "severity": {rule["labels"]["severity"] for group in groups for rule in group["rules"]},
    }
    for route in policy["routes"]:
        assert all(value in labels[name] for name, _, value in route["object_matchers"])


def test_no_secret_is_written_down() -> None:
    """Addresses and keys of contact points are variables, without a default that would be one."""
    points = read(PROVISIONING / "alerting/contact-points.yaml")["contactPoints"]
    secrets = [
        value
        for point in points
        for receiver in point["receivers"]
        for key, value in receiver["settings"].items()
        if key in {"addresses", "url", "authorization_credentials"}
    ]
    assert len(secrets) == 4
    assert all(re.fullmatch(r"\$\{AGENTCOST_ALERT_\w+\}", secret) for secret in secrets)
