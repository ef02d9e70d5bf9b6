"""What is watched, and what runbooks tell one to look at, is what Terraform makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.manifests.alerting import CLUSTER, GOOGLE, alerts
from tests.manifests.runbooks import commands

if TYPE_CHECKING:
    from tests.manifests.runbooks import Command
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

DASHBOARD = GOOGLE.with_name("dashboard.yaml")
_MATCHER = re.compile(r'\b(subscription_id|service_name|database_id)(=~?)"([^"]+)"')
# The beginning of a command of gcloud, and the type of what the word after it names.
NAMED = {
    ("run", "services", "describe"): "cloud_run_v2_service",
    ("run", "services", "update-traffic"): "cloud_run_v2_service",
    ("run", "jobs", "execute"): "cloud_run_v2_job",
    ("scheduler", "jobs", "describe"): "cloud_scheduler_job",
    ("scheduler", "jobs", "run"): "cloud_scheduler_job",
    ("scheduler", "jobs", "pause"): "cloud_scheduler_job",
    ("scheduler", "jobs", "resume"): "cloud_scheduler_job",
    ("sql", "instances", "describe"): "sql_database_instance",
    ("sql", "instances", "restart"): "sql_database_instance",
    ("container", "clusters", "get-credentials"): "container_cluster",
    ("pubsub", "topics", "get-iam-policy"): "pubsub_topic",
    ("pubsub", "subscriptions", "describe"): "pubsub_subscription",
    ("pubsub", "subscriptions", "modify-push-config"): "pubsub_subscription",
    ("storage", "buckets", "describe"): "storage_bucket",
    ("storage", "buckets", "get-iam-policy"): "storage_bucket",
}
# The same, where an option names it.
BY_OPTION = {
    "--service": "cloud_run_v2_service",
    "--instance": "sql_database_instance",
    "--database": "firestore_database",
}
# They name nothing that Terraform makes.
OTHERS = {"config", "logging", "projects", "compute", "services", "firestore"}


def matchers() -> set[tuple[str, str, str]]:
    """Return what alerts and panels pick Google's resources by: the label, the operator and the text."""
    asked = [alert.expression for alert in alerts(GOOGLE)]
    asked += [query for panel in yaml.safe_load(DASHBOARD.read_text())["panels"] for query in panel["queries"].values()]
    return {found for query in asked for found in _MATCHER.findall(query)}


def named(command: Command) -> list[tuple[str, str]]:
    """Return the type and the name of each thing of ours in a command of gcloud."""
    words = command.words[1:]
    found = [(NAMED[words[:3]], words[3])] if words[:3] in NAMED else []
    return found + [(BY_OPTION[word], words[at + 1]) for at, word in enumerate(words[:-1]) if word in BY_OPTION]


def watched_by_name(environment: Environment) -> dict[str, set[str]]:
    return {
        "subscription_id": environment.names("pubsub_subscription"),
        "service_name": environment.names("cloud_run_v2_service"),
        "database_id": {f"{environment.project}:{name}" for name in environment.names("sql_database_instance")},
    }


def policies(environment: Environment) -> dict[str, dict[str, Any]]:
    return {values["display_name"]: values for values in environment.of_type("monitoring_alert_policy")}


class TestEachAlert:
    def test_is_a_policy_of_its_environment(self, environment: Environment) -> None:
        expected = {f"Imagen {environment.name}: {alert.name}" for alert in alerts(CLUSTER, GOOGLE)}

        assert expected <= set(policies(environment))

    def test_picks_out_things_that_there_are(self, environment: Environment) -> None:
        there = watched_by_name(environment)

        asked = matchers()
        assert {label for label, _, _ in asked} == set(there)
        for label, operator, text in asked:
            pattern = text if operator == "=~" else re.escape(text)
            assert [name for name in there[label] if re.fullmatch(pattern, name)], text

    def test_of_the_queues_and_of_the_pushes_share_them_out(self, environment: Environment) -> None:
        patterns = {text for label, _, text in matchers() if label == "subscription_id"} - {".+-(sub|push)"}

        names = environment.names("pubsub_subscription")
        watched = [name for pattern in patterns for name in names if re.fullmatch(pattern, name)]
        assert sorted(watched) == sorted(names)


class TestWhatIsWatched:
    def test_of_the_cluster_is_collected(self, environment: Environment) -> None:
        [cluster] = environment.of_type("container_cluster")
        [collected] = cluster["monitoring_config"]

        # kube_pod_status_phase is of the package POD.
        assert "POD" in collected["enable_components"]
        assert collected["managed_prometheus"][0]["enabled"]

    def test_of_the_site_is_collected(self, environment: Environment) -> None:
        services = environment.of_type("cloud_run_v2_service")
        measured = {
            each["name"]
            for each in services
            for part in each["template"][0]["containers"]
            if part["name"] == "collector"
        }

        # dev spares the webhooks theirs; web says how many jobs are unfinished, too.
        assert measured == ({"web", "webhooks"} if environment.name == "prod" else {"web"})


class TestARunbook:
    @pytest.mark.parametrize("command", commands("gcloud"), ids=str)
    def test_names_what_there_is(self, command: Command, environment: Environment) -> None:
        found = named(command)

        assert found or command.words[1] in OTHERS
        for kind, name in found:
            plain = name.removeprefix("gs://").replace("$PROJECT", environment.project)
            assert plain in environment.names(kind)
