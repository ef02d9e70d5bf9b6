"""Direct uploads as a program asks for them; the rules are in test_direct_uploads.py."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from rest_framework.test import APIClient

from jobs.models import DirectUpload
from jobs.tests.asking import UPSCALE, asking_with, key_with, refused
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from accounts.models import Account

UPLOADS = "/api/v1/uploads"
BEACH = {"filename": "beach.png", "content_type": "image/png", "bytes": len(png())}


@pytest.fixture
def sent(api: APIClient, adapted: World, rich: Account) -> str:
    """The upload_id of a photo that has arrived."""
    upload = api.post(UPLOADS, BEACH, format="json").json()
    adapted.upload_store.put(upload["url"].removeprefix("http://testserver"), png(), "image/png")
    return str(upload["upload_id"])


class TestAskingForAnUpload:
    def test_says_where_to_send_it_and_how_and_until_when(self, api: APIClient, adapted: World, rich: Account) -> None:
        answer = api.post(UPLOADS, BEACH, format="json")

        assert answer.status_code == 201
        upload = answer.json()
        assert upload.keys() == {"upload_id", "url", "method", "headers", "expires_at"}
        assert (upload["method"], upload["headers"]) == ("PUT", {"Content-Type": "image/png"})
        assert upload["url"].startswith("http://testserver/")
        assert upload["upload_id"] == str(DirectUpload.objects.get(account=rich).id)

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"filename": "../beach.png"}, 422, "bad_filename"),
            ({"filename": "b" * 201}, 422, "bad_filename"),
            ({"filename": None}, 422, "invalid_parameters"),
            ({"content_type": "text/html"}, 415, "not_an_image"),
            ({"content_type": "image/svg+xml"}, 415, "not_an_image"),
            ({"bytes": 0}, 400, "empty_file"),
            ({"bytes": -1}, 422, "invalid_parameters"),
            ({"bytes": "many"}, 422, "invalid_parameters"),
            ({"bytes": 101 * 2**20}, 413, "file_too_large"),
            ({"bytes": 10**400}, 422, "invalid_parameters"),
        ],
        ids=str,
    )
    def test_for_what_may_not_be_sent_is_refused(
        self, api: APIClient, nothing_happened: None, change: dict[str, Any], status: int, code: str
    ) -> None:
        refused(api.post(UPLOADS, {**BEACH, **change}, format="json"), status, code)

    @pytest.mark.parametrize("body", [b"[]", b"7", b"{", b""])
    def test_in_no_words_is_refused(self, api: APIClient, nothing_happened: None, body: bytes) -> None:
        assert api.generic("POST", UPLOADS, body, "application/json").status_code in {400, 422}

    def test_needs_a_key_that_may_submit(self, rich: Account, adapted: World) -> None:
        refused(APIClient().post(UPLOADS, BEACH, format="json"), 401, "not_authenticated")
        refused(asking_with(key_with(rich, "jobs:read")).post(UPLOADS, BEACH, format="json"), 403, "scope_missing")

    def test_too_often_says_when_to_come_back(self, api: APIClient, adapted: World, rich: Account) -> None:
        for _ in range(20):
            api.post(UPLOADS, BEACH, format="json")

        answer = api.post(UPLOADS, BEACH, format="json")

        refused(answer, 429, "too_many_uploads")
        # When the first of them expires.
        assert 3500 < int(answer["Retry-After"]) <= 3600


class TestSubmittingAnUpload:
    def post(self, api: APIClient, upload_id: Any, **values: Any) -> Any:
        return api.post(UPSCALE, {"upload_id": upload_id, **values}, format="json")

    def test_makes_a_job_like_any_other(self, api: APIClient, sent: str) -> None:
        answer = self.post(api, sent, scale=2)

        assert answer.status_code == 202
        assert (answer.json()["input"]["filename"], answer.json()["params"]["scale"]) == ("beach.png", 2)

    def test_twice_is_refused_unless_it_is_the_same_request(self, api: APIClient, sent: str) -> None:
        first = api.post(UPSCALE, {"upload_id": sent}, format="json", headers={"Idempotency-Key": "k"})
        again = api.post(UPSCALE, {"upload_id": sent}, format="json", headers={"Idempotency-Key": "k"})

        assert first.json()["job_id"] == again.json()["job_id"]
        refused(self.post(api, sent), 409, "upload_used")

    def test_of_a_stranger_is_not_found(self, charlie_key: str, sent: str) -> None:
        refused(self.post(asking_with(charlie_key), sent), 404, "upload_not_found")

    @pytest.mark.parametrize("upload_id", [7, "beach", ["a"], "00000000-0000-4000-8000-000000000000"], ids=str)
    def test_that_was_never_asked_for_is_not_found(
        self, api: APIClient, nothing_happened: None, upload_id: Any
    ) -> None:
        refused(self.post(api, upload_id), 404, "upload_not_found")

    def test_before_it_was_sent_is_a_conflict(self, api: APIClient, nothing_happened: None) -> None:
        upload = api.post(UPLOADS, BEACH, format="json").json()

        refused(self.post(api, upload["upload_id"]), 409, "upload_incomplete")

    def test_after_it_expired_is_too_late(self, api: APIClient, sent: str) -> None:
        expired = DirectUpload.objects.get().expires_at
        with time_machine.travel(expired + timedelta(seconds=1)):
            refused(self.post(api, sent), 410, "upload_expired")

    def test_of_another_size_than_promised_is_refused(self, api: APIClient, adapted: World, rich: Account) -> None:
        upload = api.post(UPLOADS, {**BEACH, "bytes": 7}, format="json").json()
        adapted.upload_store.put(upload["url"].removeprefix("http://testserver"), png(), "image/png")

        refused(self.post(api, upload["upload_id"]), 422, "upload_mismatch")

    def test_names_the_parameter_that_is_wrong_and_leaves_the_upload(self, api: APIClient, sent: str) -> None:
        refused(self.post(api, sent, scale=3), 422, "invalid_parameters")

        assert self.post(api, sent, scale=2).status_code == 202

    def test_beside_an_address_is_refused(self, api: APIClient, sent: str) -> None:
        refused(self.post(api, sent, image_url="https://a.example/b.png"), 400, "several_images")
