"""Alerts, dashboard, scraping and the overlay hold together, and Prometheus' own tool accepts them."""

import os
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from stockroom_local.servers.install import Machine
from stockroom_local.services import SERVICES

from .observed import (
    DEPLOY,
    FOLDER,
    PROCESSES,
    PROMETHEUS,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    alerts,
    dashboards,
    expressions,
    panels,
    read_yaml,
    scrape_jobs,
    sections,
)
from .promql import parse

OVERLAY = read_yaml(DEPLOY / "compose" / "observability.yml")
SHOP = read_yaml(DEPLOY.parent / "docker-compose.yml")


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' checker; installed where that is allowed, else its tests are skipped."""
    machine = Machine()
    if shutil.which("promtool") is None and machine.can_install():
        machine.install(["prometheus"])
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; it comes with Prometheus (Debian: apt-get install prometheus)")
    return found


@pytest.mark.parametrize(
    "arguments", [("check", "config", PROMETHEUS), ("check", "rules", RULES), ("test", "rules", RULE_TESTS)], ids=str
)
def test_promtool_accepts_it(promtool: str, arguments: tuple[str | Path, ...]) -> None:
    ended = subprocess.run([promtool, *arguments], capture_output=True, text=True, env={**os.environ, "TZ": "UTC"})
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_a_query_can_be_parsed(where: str, expression: str) -> None:
    parse(expression)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "runbook"}
    path, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert path == "deploy/RUNBOOKS.md"
    assert anchor in sections(RUNBOOKS.read_text())


def test_every_runbook_is_what_some_alert_leads_to() -> None:
    led_to = {alert["annotations"]["runbook"].partition("#")[2] for alert in alerts()}
    assert sections(RUNBOOKS.read_text()) == led_to


def test_the_runbooks_table_names_every_alert_beside_its_section() -> None:
    rows = [line for line in RUNBOOKS.read_text().splitlines() if line.startswith("| ")]
    for alert in alerts():
        anchor = alert["annotations"]["runbook"].partition("#")[2]
        assert any(f"`{alert['alert']}`" in row and f"](#{anchor})" in row for row in rows), alert["alert"]


def test_every_alert_has_a_fault_that_raises_it_and_a_quiet_shop_raises_none() -> None:
    quiet, *faults = read_yaml(RULE_TESTS)["tests"]
    raised = {case["alertname"] for fault in faults for case in fault["alert_rule_test"] if case["exp_alerts"]}
    assert raised == {alert["alert"] for alert in alerts()}
    assert [case["exp_samples"] for case in quiet["promql_expr_test"]] == [[]]


def test_every_process_is_scraped_at_its_port() -> None:
    ports = {service.setting: service.default_port for service in SERVICES}
    jobs = {name: job["dns_sd_configs"] for name, job in scrape_jobs().items() if not name.startswith("rabbitmq")}
    assert jobs.keys() == PROCESSES.keys()
    for job, [discovery] in jobs.items():
        assert discovery["names"] == [job]
        assert discovery["type"] == "A", "a name with an address for each replica"
        assert discovery["port"] == ports[f"STOCKROOM_{PROCESSES[job].upper()}_PORT"]
        assert job in SHOP["services"]


@pytest.mark.parametrize("service", OVERLAY["services"].values(), ids=OVERLAY["services"].keys())
def test_the_overlay_takes_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert int(service["user"].partition(":")[0]) > 0
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert {"mem_limit", "cpus", "pids_limit", "healthcheck"} <= service.keys()
    for port in service["ports"]:
        assert port.startswith("${STOCKROOM_ADDRESS:-127.0.0.1}:")


def test_the_overlay_has_no_password_and_grafana_no_account() -> None:
    settings = OVERLAY["services"]["grafana"]["environment"]
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not [name for name in settings if "PASSWORD" in name or "SECRET" in name]


def test_what_the_overlay_mounts_and_joins_is_there() -> None:
    for service in OVERLAY["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert (DEPLOY.parent / source).exists() if source.startswith("./") else source in OVERLAY["volumes"]
        for network in service["networks"]:
            assert network in {**SHOP["networks"], **OVERLAY["networks"]}


def test_grafana_is_provisioned_with_the_data_source_that_every_panel_asks() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    [source] = read_yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    [provider] = read_yaml(provisioning / "dashboards" / "stockroom.yml")["providers"]
    mounted = [volume.split(":")[1] for volume in OVERLAY["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
    asked = {panel["datasource"]["uid"] for dashboard in dashboards().values() for panel in panels(dashboard)}
    assert asked == {source["uid"]}


@pytest.mark.parametrize("dashboard", dashboards().values(), ids=dashboards().keys())
def test_a_dashboards_panels_are_told_apart_and_do_not_overlap(dashboard: Any) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for one, other in combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in dashboard["panels"]) <= 24
