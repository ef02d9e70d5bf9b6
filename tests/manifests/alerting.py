"""The alerts of k8s/ and terraform/, and what promtool wants to read them by."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Rules objects for the cluster, and the file that only Terraform reads.
CLUSTER = ROOT / "k8s/monitoring/alerts.yaml"
GOOGLE = ROOT / "terraform/modules/monitoring/alerts.yaml"
UNIT_TESTS = ROOT / "tests/manifests/alerts"


@dataclass(frozen=True)
class Alert:
    name: str
    expression: str
    severity: str
    summary: str
    runbook: str


def rule_groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the groups of a Rules object, or of a file as Prometheus itself has it."""
    groups: list[dict[str, Any]] = document["spec"]["groups"] if document.get("kind") == "Rules" else document["groups"]
    return groups


def groups_of(*files: Path) -> list[dict[str, Any]]:
    return [group for file in files for group in rule_groups(yaml.safe_load(file.read_text()))]


def for_promtool(groups: list[dict[str, Any]], *, annotations: bool = True) -> str:
    """
    Return a rule file of Prometheus with these groups.

    Without annotations a unit test need not repeat every summary: promtool compares whole alerts.
    """
    left_out = set() if annotations else {"annotations"}
    plain = [
        {**group, "rules": [{key: rule[key] for key in rule if key not in left_out} for rule in group["rules"]]}
        for group in groups
    ]
    return yaml.safe_dump({"groups": plain}, sort_keys=False)


def alerts(*files: Path) -> list[Alert]:
    rules = [rule for group in groups_of(*files) for rule in group["rules"] if "alert" in rule]
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
            rule["annotations"]["runbook_url"],
        )
        for rule in rules
    ]


def promtool(*arguments: str | Path, folder: Path) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
