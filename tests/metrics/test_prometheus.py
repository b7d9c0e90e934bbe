"""The rules for Prometheus and the dashboard for Grafana use metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from supernova_ai.metrics.catalog import METRICS
from tests.promtool import promtool

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
TESTS = DEPLOY / "prometheus" / "rules_test.yml"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "supernova.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]

LABELS = {
    f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name: {
        *metric.labels,
        *(["le"] if metric.kind == "histogram" else []),
    }
    for metric in METRICS
}
SCRAPED = {"job", "instance"}
"""The labels that Prometheus adds."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression of the rules and the dashboard, with the name of its rule or panel."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in BOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"^label_values\((.+), (\w+)\)$", variable["query"]["query"])[0]
            yield variable["name"], f"count by ({label}) ({metric})"


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_metrics_and_labels_exist(name: str, expression: str) -> None:
    """Each metric is in the catalog or recorded by a rule, and has the labels that are asked of it."""
    known: set[str] = set(SCRAPED)
    used = re.findall(r"\b((?:\w+:)?supernova_\w+(?::\w+)?)\b(?:\{(.*?)\})?", expression)
    assert used, name
    for metric, selectors in used:
        if metric in RECORDED:
            labels = set(re.split(", ?", re.findall(r"sum by \((.+?)\)", RECORDED[metric])[0]))
        else:
            labels = LABELS[metric]
        assert set(re.findall(r"(\w+) ?[!=]", selectors)) <= labels | SCRAPED, (name, metric)
        known |= labels
    for grouped in re.findall(r"\b(?:by|without|on) \((.+?)\)", expression):
        assert set(grouped.split(", ")) <= known, name


def test_promtool_finds_no_fault_in_the_rules() -> None:
    """Prometheus accepts the file."""
    assert promtool("check", "rules", str(RULES)) == (0, "")


@pytest.mark.proof
def test_the_rules_do_what_they_say() -> None:
    """promtool evaluates each rule on series that are written down, and each alert fires."""
    assert promtool("test", "rules", str(TESTS)) == (0, "")
    cases = yaml.safe_load(TESTS.read_text("utf-8"))["tests"]
    fired = {
        one["alertname"] for case in cases for one in case.get("alert_rule_test", ()) if one["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}
    asked = TESTS.read_text("utf-8") + RULES.read_text("utf-8").partition("supernova-money")[2]
    assert [name for name in RECORDED if name not in asked] == []


def test_each_alert_says_what_to_do() -> None:
    """An alert has a severity, a summary and a description, and stands in docs/metrics.md."""
    page = (DEPLOY.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert set(re.findall(r"`(Supernova[A-Z]\w+)`", page)) == alerts
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_finds_no_fault_in_the_dashboard(tmp_path: Path) -> None:
    """Its expressions are PromQL: Prometheus accepts them as rules."""
    every = [expression for name, expression in expressions() if name not in RECORDED]
    plain = [re.sub(r"\$__\w+", "5m", expression).replace("$", "") for expression in every]
    recorded = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(plain)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))  # JSON is YAML
    assert promtool("check", "rules", str(file)) == (0, "")


def test_the_dashboard_is_laid_out() -> None:
    """Rows for health, money, latency, errors, jobs; panels overlap nowhere, and each explains itself."""
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Health", "Money", "Latency", "Errors", "Jobs and keys"]
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    last = max(y for _, y in taken)
    assert taken == {(x, y) for x in range(24) for y in range(last + 1)}  # no gaps
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_dashboard_has_no_source_of_its_own() -> None:
    """Whoever imports it chooses the Prometheus; nothing in it has an address or an id of another Grafana."""
    sources = {json.dumps(one["datasource"]) for panel in PANELS for one in (panel, *panel["targets"])}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert "http" not in json.dumps(BOARD)
