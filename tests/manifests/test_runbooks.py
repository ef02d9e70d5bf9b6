"""The pages for three in the morning: each is led to, each is short, and what it tells one to run can be run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from jobs import job_events
from jobs.operations import OPERATIONS
from jobs.push import DeadLettersPush
from tests.manifests.alerting import CLUSTER, GOOGLE, alerts
from tests.manifests.rendering import of_kind, pod_templates, rendered
from tests.manifests.runbooks import FOLDER, HEADINGS, INDEX, PAGES, alerts_of, commands
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifests.alerting import Alert
    from tests.manifests.runbooks import Command

pytestmark = pytest.mark.deployment

ALERTS = alerts(CLUSTER, GOOGLE)
MODULE = ROOT / "terraform/modules/monitoring"
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
# What else stands in italics on the pages: names in the admin.
IN_THE_ADMIN = {"Ledger entries", "Run again"}
# What kubectl calls a kind, and what the manifests do.
KINDS = {
    "deployment": "Deployment",
    "svc": "Service",
    "endpoints": "Service",
    "pvc": "PersistentVolumeClaim",
    "job": "Job",
    "hpa": "HorizontalPodAutoscaler",
    "serviceaccount": "ServiceAccount",
    "computeclass": "ComputeClass",
}


def led_to() -> set[str]:
    """Return the pages that alerts lead to: those of rules, and those of policies that Terraform alone has."""
    by_policies = {
        name for file in MODULE.glob("*.tf") for name in re.findall(r"docs/runbooks/([\w-]+\.md)", file.read_text())
    }
    return by_policies | {alert.runbook.removeprefix("docs/runbooks/") for alert in ALERTS}


class TestEveryAlert:
    @pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
    def test_leads_to_a_page_that_is_about_it(self, alert: Alert) -> None:
        assert alert.name in alerts_of(ROOT / alert.runbook)

    @pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
    def test_is_as_urgent_on_its_page_as_in_its_rule(self, alert: Alert) -> None:
        assert f"**{alert.name}** ({alert.severity})" in (ROOT / alert.runbook).read_text()

    def test_leads_to_a_page_that_is_there(self) -> None:
        assert {page.name for page in PAGES} == led_to()


class TestTheIndex:
    def test_lists_every_page_with_its_alerts(self) -> None:
        rows = re.findall(r"^\| \[([\w-]+)\]\(\1\.md\) \| (.+) \|$", INDEX.read_text(), re.MULTILINE)
        listed = {page: re.findall(r"[\w-]+", re.sub(r"\b(log|SLO)\b", "", names)) for page, names in rows}

        assert listed == {page.stem: alerts_of(page) for page in PAGES}


@EACH
class TestEachPage:
    def test_is_about_alerts_that_there_are(self, page: Path) -> None:
        files = "".join(file.read_text() for file in sorted(MODULE.glob("*.tf")))
        rules = {alert.name for alert in ALERTS}

        # A policy of Terraform alone is a key there: a line's event, or an objective's id.
        others = [name for name in alerts_of(page) if name not in rules]
        assert [name for name in others if not re.search(rf'(^ +|"){name}(-\$|"| =)', files, re.MULTILINE)] == []

    def test_has_the_same_sections_in_the_same_order(self, page: Path) -> None:
        assert tuple(re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)) == HEADINGS

    def test_fits_on_a_page(self, page: Path) -> None:
        assert len(page.read_text().splitlines()) <= 60

    def test_names_panels_that_the_dashboard_has(self, page: Path) -> None:
        panels = {panel["title"] for panel in yaml.safe_load((MODULE / "dashboard.yaml").read_text())["panels"]}
        named = re.findall(r"(?<!\*)\*([A-Z][^*\n]*)\*(?!\*)", page.read_text())

        assert [name for name in named if name not in panels | IN_THE_ADMIN] == []

    def test_links_to_pages_that_are_there(self, page: Path) -> None:
        links = re.findall(r"\]\(([\w-]+\.md)\)", page.read_text())

        assert [link for link in links if not (FOLDER / link).is_file()] == []


class TestWhatThePagesTellOneToRun:
    @pytest.mark.parametrize("command", commands("manage.py"), ids=str)
    def test_by_manage_py_is_a_command_with_these_options(self, command: Command) -> None:
        name = command.words[1]
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)

        known = {option for action in parser._actions for option in action.option_strings}
        assert [option for option in command.options() if option not in known] == []

    @pytest.mark.parametrize("command", commands("kubectl"), ids=str)
    def test_by_kubectl_names_what_the_manifests_have(self, command: Command) -> None:
        there = {(each["kind"], each["metadata"]["name"]) for each in rendered("prod")}

        assert [name for name in named(command) if name not in there] == []

    @pytest.mark.parametrize("command", commands("kubectl"), ids=str)
    def test_by_kubectl_selects_pods_that_there_are(self, command: Command) -> None:
        labels = [template["metadata"]["labels"] for _, template in pod_templates(rendered("prod"))]
        asked = [command.words[at + 1].split("=") for at, word in enumerate(command.words) if word == "-l"]

        assert all(any(each.get(name) == value for each in labels) for name, value in asked)

    @pytest.mark.parametrize("command", commands("gcloud"), ids=str)
    def test_by_gcloud_names_topics_and_subscriptions_of_ours(self, command: Command) -> None:
        queues = {operation.topic for operation in OPERATIONS.values()}
        pushed = {job_events.TOPIC, DeadLettersPush.kind}
        known = {
            "topics": queues | pushed,
            "subscriptions": {f"{name}-sub" for name in queues} | {f"{name}-push" for name in pushed},
        }

        if command.words[1] == "pubsub":
            assert command.words[4] in known[command.words[2]]

    def test_applies_no_overlay_whose_images_nobody_has_released(self) -> None:
        # As committed their tag is one that no registry has.
        assert {each["newTag"] for each in self.images()} == {"unreleased"}
        assert [str(command) for command in commands("kubectl") if command.words[1] == "apply"] == []

    def images(self) -> list[dict[str, str]]:
        files = sorted(ROOT.glob("k8s/overlays/*/kustomization.yaml"))
        return [image for file in files for image in yaml.safe_load(file.read_text())["images"]]

    def test_reaches_the_cluster_by_the_only_door_that_it_has(self) -> None:
        cluster = (ROOT / "terraform/modules/gke/main.tf").read_text()
        ways = [command for command in commands("gcloud") if "get-credentials" in command.words]

        assert re.search(r"ip_endpoints_config \{\s+enabled = false", cluster)
        assert ways
        assert [str(way) for way in ways if "--dns-endpoint" not in way.words] == []

    def test_reads_lines_that_the_code_writes(self) -> None:
        sources = [path for app in ("jobs", "imagen_site") for path in (ROOT / app).rglob("*.py")]
        written = {name for path in sources for name in re.findall(r'log\.\w+\(\s*"(\w+)"', path.read_text())}
        asked = {name for page in PAGES for name in re.findall(r'jsonPayload\.event="(\w+)"', page.read_text())}

        assert asked
        assert asked <= written


def named(command: Command) -> list[tuple[str, str]]:
    """Return the kinds and names in a command: `deployment/x`, or `pvc x`."""
    words = command.words
    slashed = [word.split("/") for word in words if word.partition("/")[0] in KINDS and "/" in word]
    pairs = [(word, words[at + 1]) for at, word in enumerate(words[:-1]) if word in KINDS and words[at + 1][0] != "-"]
    return [(KINDS[kind], name) for kind, name in [*map(tuple, slashed), *pairs]]


class TestTheNames:
    def test_are_looked_for_in_manifests_that_have_workloads(self) -> None:
        assert of_kind(rendered("prod"), "Deployment")
