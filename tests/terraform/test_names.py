"""The names that Terraform gives, against those that the code, the manifests and the release ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from django.urls import resolve

from imagen_site.brokers.pubsub import DEAD_LETTER_TOPIC
from imagen_site.queues import task_queues
from jobs import job_events
from jobs.operations import OPERATIONS
from tests.manifests.rendering import Manifest, rendered
from tests.terraform.services import services

if TYPE_CHECKING:
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

WEBHOOKS = "imagen_site.urls_webhooks"


def manifests(environment: Environment, kind: str) -> list[Manifest]:
    return [manifest for manifest in rendered(environment.name) if manifest["kind"] == kind]


def view_name(address: str) -> str:
    return str(resolve(urlsplit(address).path, urlconf=WEBHOOKS).url_name)


class TestTheQueues:
    def test_have_the_topics_that_the_code_publishes_to(self, environment: Environment) -> None:
        published = {queue.exchange.name for queue in task_queues()} | {job_events.TOPIC, DEAD_LETTER_TOPIC}

        assert environment.names("pubsub_topic") == published

    def test_have_the_subscriptions_that_workers_pull(self, environment: Environment) -> None:
        pulled = {f"{operation.topic}-sub" for operation in OPERATIONS.values()}
        pushed = {f"{topic}-push" for topic in (job_events.TOPIC, DEAD_LETTER_TOPIC)}

        assert environment.names("pubsub_subscription") == pulled | pushed

    def test_push_to_what_understands_them(self, environment: Environment) -> None:
        views = {
            values["name"]: view_name(values["push_config"][0]["push_endpoint"])
            for values in environment.of_type("pubsub_subscription")
            if values["push_config"]
        }

        assert views == {
            f"{job_events.TOPIC}-push": "push_job_events",
            f"{DEAD_LETTER_TOPIC}-push": "push_dead_letters",
        }


class TestTheClockOfTheSweep:
    def test_calls_the_sweep(self, environment: Environment) -> None:
        [job] = environment.of_type("cloud_scheduler_job")

        assert view_name(job["http_target"][0]["uri"]) == "push_sweep"
        assert (job["name"], job["schedule"]) == ("sweep", "* * * * *")


class TestTheTokensOfPushes:
    def test_are_those_that_the_webhooks_take(self, environment: Environment) -> None:
        tokens = [
            values["push_config"][0]["oidc_token"][0]
            for values in environment.of_type("pubsub_subscription")
            if values["push_config"]
        ]
        tokens += [values["http_target"][0]["oidc_token"][0] for values in environment.of_type("cloud_scheduler_job")]
        told = services(environment)["webhooks"].told

        assert {token["audience"] for token in tokens} == {told["PUSH_AUDIENCE"]}
        assert {token["service_account_email"] for token in tokens} == {told["PUSH_SERVICE_ACCOUNT"]}


class TestTheBuckets:
    def test_are_those_that_pods_are_told_of(self, environment: Environment) -> None:
        [config] = [each for each in manifests(environment, "ConfigMap") if each["metadata"]["name"] == "imagen-config"]
        [volume] = manifests(environment, "PersistentVolume")

        assert config["data"]["GOOGLE_CLOUD_PROJECT"] == environment.project
        assert config["data"]["GCS_BUCKET"] in environment.names("storage_bucket")
        assert volume["spec"]["csi"]["volumeHandle"] in environment.names("storage_bucket")

    def test_are_those_that_the_site_is_told_of(self, environment: Environment) -> None:
        told = {
            service.told["GCS_BUCKET"] for service in services(environment).values() if "GCS_BUCKET" in service.told
        }

        assert told == {f"{environment.project}-imagen"}


class TestThePods:
    def test_are_known_to_google_by_their_service_accounts(self, environment: Environment) -> None:
        accounts = {f"imagen/{account['metadata']['name']}" for account in manifests(environment, "ServiceAccount")}
        granted = {member for member, _ in environment.grants() if member.startswith("imagen/")}

        assert granted == accounts

    def test_have_images_from_the_registry_that_terraform_makes(self, environment: Environment) -> None:
        [registry] = environment.of_type("artifact_registry_repository")
        url = f"{registry['location']}-docker.pkg.dev/{registry['project']}/{registry['repository_id']}"
        images = {
            container["image"].partition(":")[0]
            for kind in ("Deployment", "Job")
            for manifest in manifests(environment, kind)
            for container in manifest["spec"]["template"]["spec"]["containers"]
        }

        assert images == {f"{url}/worker", f"{url}/triton"}
