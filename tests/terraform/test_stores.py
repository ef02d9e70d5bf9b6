"""What the stores are told by Terraform, against what the code reads, writes and signs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from django.utils import timezone

from imagen_site.brokers import pubsub
from jobs import image_store
from jobs.cloud_uploads import BucketUploadStore
from jobs.state_store.firestore_documents import DatabaseName, document_of
from jobs.states import StoredImage, queued
from jobs.upload_store import Promise
from tests.running_site import ROOT
from tests.terraform.services import services

if TYPE_CHECKING:
    from jobs.cloud_storage import BucketStorage
    from tests.terraform.environments import Environment

pytestmark = pytest.mark.deployment

A_QUERY = re.compile(r"run_query|StructuredQuery|QueryTarget|run_aggregation")


class SigningStorage:
    """As much of a bucket as a slot asks of it."""

    def signed(self, path: str, **_asked: object) -> str:
        return f"https://storage.googleapis.com/{path}"


def images(environment: Environment) -> dict[str, Any]:
    [bucket] = [each for each in environment.of_type("storage_bucket") if each["name"].endswith("-imagen")]
    return bucket


def days_of(bucket: dict[str, Any], path: str) -> int:
    [rule] = [
        each["condition"][0]
        for each in bucket["lifecycle_rule"]
        if any(path.startswith(prefix) for prefix in each["condition"][0]["matches_prefix"] or ())
    ]
    return int(rule["age"])


class TestTheBucketOfImages:
    def test_keeps_the_pixels_of_a_job_as_long_as_the_site_thinks(self, environment: Environment) -> None:
        retention = int(services(environment)["web"].told["JOB_RETENTION_DAYS"])
        paths = image_store.input_path(uuid4(), "photo.jpg"), image_store.output_path(uuid4(), 1, "png")

        assert {days_of(images(environment), path) for path in paths} == {retention}

    def test_keeps_what_nobody_used_for_a_day(self, environment: Environment) -> None:
        assert days_of(images(environment), image_store.upload_path(uuid4(), "photo.jpg")) == 1

    def test_takes_from_a_page_every_header_that_a_slot_asks_for(self, environment: Environment) -> None:
        now = timezone.now()
        promise = Promise(path="uploads/1/photo.jpg", content_type="image/jpeg", bytes=5, expires_at=now + timedelta(1))
        slot = BucketUploadStore(cast("BucketStorage", SigningStorage())).slot(promise, now=now)
        [rule] = images(environment)["cors"]

        assert set(slot.headers) <= set(rule["response_header"])
        assert rule["origin"] == [services(environment)["web"].told["SITE_URL"]]


class TestTheLiveStates:
    def test_are_in_the_collections_whose_fields_need_no_index(self, environment: Environment) -> None:
        name = DatabaseName("prints")
        collections = {path.rsplit("/", 2)[1] for path in (name.job("1"), name.owner("1"))}
        unindexed = {each["collection"] for each in environment.of_type("firestore_field") if each["field"] == "*"}

        assert unindexed == collections

    def test_expire_by_a_field_that_they_have(self, environment: Environment) -> None:
        [expiry] = [each for each in environment.of_type("firestore_field") if each["ttl_config"]]
        image = StoredImage(path="inputs/1/photo.jpg", width=1, height=1, bytes=1, format="jpeg")
        now = timezone.now()
        state = queued(job_id=uuid4(), owner="1", operation="upscale", params={}, image=image, now=now, expires_at=now)

        assert expiry["field"] in document_of(state, name=DatabaseName("prints").job(state.job_id)).fields

    def test_are_never_searched_for(self) -> None:
        asking = [*ROOT.glob("jobs/state_store/*.py"), *ROOT.glob("jobs/watch*.py"), ROOT / "jobs/cloud.py"]

        assert asking
        assert [file.name for file in asking if A_QUERY.search(file.read_text())] == []


class TestTheQueuesOfJobs:
    def test_hide_and_give_up_a_message_as_the_emulators_do(self, environment: Environment) -> None:
        jobs = [each for each in environment.of_type("pubsub_subscription") if each["name"].endswith("-sub")]
        ours = pubsub.Options(project="prints").ack_seconds, pubsub._MAX_DELIVERIES

        assert {
            (each["ack_deadline_seconds"], each["dead_letter_policy"][0]["max_delivery_attempts"]) for each in jobs
        } == {ours}
