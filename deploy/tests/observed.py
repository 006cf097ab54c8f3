"""What deploy/observability holds, as tests read it."""

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = DEPLOY / "observability"
PROMETHEUS: Final = FOLDER / "prometheus.yml"
RULES: Final = FOLDER / "rules" / "stockroom.yml"
RULE_TESTS: Final = FOLDER / "rules.test.yml"
RUNBOOKS: Final = DEPLOY / "RUNBOOKS.md"

PROCESSES: Final = {
    "command-service": "command",
    "relay": "relay",
    "worker": "worker",
    "processes": "processes",
    "projector": "projector",
    "query-service": "query",
}
"""The name of a process in deployments (Prometheus' `job`) → in the setting of its port."""


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]


def dashboards() -> dict[str, Any]:
    """By the names of their files."""
    return {path.name: json.loads(path.read_text()) for path in (FOLDER / "grafana" / "dashboards").glob("*.json")}


def panels(dashboard: Any) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Where each query of a rule or a panel stands, and the query."""
    of_rules = [(alert["alert"], alert["expr"]) for alert in alerts()]
    of_panels = [
        (f"{name}, {panel['title']} {target['refId']}", target["expr"])
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]
    return of_rules + of_panels


def scrape_jobs() -> dict[str, dict[str, Any]]:
    """By name."""
    return {job["job_name"]: job for job in read_yaml(PROMETHEUS)["scrape_configs"]}


def sections(markdown: str) -> set[str]:
    """The anchors of a document's sections, as its host makes them from their titles."""
    titles = re.findall(r"^## (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
