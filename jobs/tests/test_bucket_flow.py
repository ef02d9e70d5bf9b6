"""A large photo's way in the cloud: asked for at the API, sent to the bucket, worked on, downloaded from the bucket."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
from django.core.files.storage import default_storage

from jobs import adapters
from jobs.cloud_uploads import BucketUploadStore
from jobs.image_store import DjangoImageStore
from jobs.models import Job
from jobs.tests.asking import UPSCALE, refused
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from rest_framework.test import APIClient

    from accounts.models import Account
    from jobs.cloud_storage import BucketStorage

pytestmark = [pytest.mark.emulator, pytest.mark.xdist_group("emulators")]
BEACH = {"filename": "my beach.png", "content_type": "image/png", "bytes": len(png())}


@pytest.fixture
def over_the_bucket(adapted: World, bucket: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> World:
    """The entry points keep pictures in the bucket, and all else in memory."""
    images = DjangoImageStore(bucket)
    adapted.service = replace(adapted.service, images=images)
    adapted.runner = replace(adapted.runner, images=images)
    adapted.uploads = replace(adapted.uploads, service=adapted.service, store=BucketUploadStore(bucket))
    monkeypatch.setattr(default_storage, "_wrapped", bucket)
    for name, what in {
        "image_store": images,
        "job_service": adapted.service,
        "direct_uploads": adapted.uploads,
    }.items():
        monkeypatch.setattr(adapters, name, lambda what=what: what)
    return adapted


class TestAPhotoSentToTheBucket:
    def test_is_worked_on_and_its_result_downloaded_from_there(
        self, api: APIClient, over_the_bucket: World, rich: Account, bucket: BucketStorage
    ) -> None:
        upload = api.post("/api/v1/uploads", BEACH, format="json").json()
        sent = httpx.request(upload["method"], upload["url"], content=png(), headers=upload["headers"])
        job = api.post(UPSCALE, {"upload_id": upload["upload_id"]}, format="json").json()
        over_the_bucket.runner.run(Job.objects.get().id)

        done = api.get(f"/api/v1/jobs/{job['job_id']}").json()
        led = api.get(done["output"]["url"])
        downloaded = httpx.get(led["Location"])

        assert (sent.status_code, done["status"], led.status_code) == (200, "completed", 302)
        assert downloaded.content == b"result"
        assert httpx.get(api.get(done["input"]["url"])["Location"]).content == png()

    def test_that_is_replaced_afterwards_changes_nothing_of_the_job(
        self, api: APIClient, over_the_bucket: World, rich: Account, bucket: BucketStorage
    ) -> None:
        upload = api.post("/api/v1/uploads", BEACH, format="json").json()
        httpx.put(upload["url"], content=png(), headers=upload["headers"])
        api.post(UPSCALE, {"upload_id": upload["upload_id"]}, format="json")

        # The stand-in lets a second one in, as a thief of Google's own keys might.
        httpx.put(upload["url"], content=png(color=(0, 0, 0)), headers=upload["headers"])

        assert bucket.blob(Job.objects.get().input_path).download_as_bytes() == png()
        refused(api.post(UPSCALE, {"upload_id": upload["upload_id"]}, format="json"), 409, "upload_used")

    def test_of_another_size_is_refused_though_it_came_in(
        self, api: APIClient, over_the_bucket: World, rich: Account
    ) -> None:
        upload = api.post("/api/v1/uploads", {**BEACH, "bytes": 7}, format="json").json()
        httpx.put(upload["url"], content=png(), headers=upload["headers"])

        refused(api.post(UPSCALE, {"upload_id": upload["upload_id"]}, format="json"), 422, "upload_mismatch")
