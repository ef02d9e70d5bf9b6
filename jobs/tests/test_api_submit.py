"""Sending photos to the API: what is accepted, and what each bad request is told."""

from __future__ import annotations

import io
import struct
import threading
import zlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from rest_framework.test import APIClient

import billing.services
from accounts.models import Account
from billing.models import LedgerEntry
from jobs import adapters
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.operations import OPERATIONS, Limits
from jobs.tests.asking import MULTIPART, UPSCALE, Part, asking_with, field, form, key_with, photo, refused, send
from jobs.tests.conftest import NOW, World, png
from tests.databases import default_database, in_threads, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_django import DjangoDbBlocker

    from accounts.models import User


def jpeg(width: int = 64, height: int = 48) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 40)).save(file, "JPEG")
    return file.getvalue()


def browser_of(person: User) -> APIClient:
    """Return a browser that somebody is signed in with, and whose page sends its CSRF token as a header."""
    token = "t" * 32
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(person)
    browser.cookies["csrftoken"] = token
    browser.credentials(HTTP_X_CSRFTOKEN=token)
    return browser


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small file whose header says that it is very large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return png()[:8] + chunk + png()[33:]


@pytest.mark.usefixtures("adapted", "rich")
class TestSubmitting:
    @pytest.mark.parametrize("operation", list(OPERATIONS.values()), ids=lambda operation: operation.name)
    def test_is_accepted_with_every_default(self, api: APIClient, adapted: World, operation: Any) -> None:
        answer = send(api, photo(), path=f"/api/v1/images/{operation.path}")

        job = Job.objects.get()
        assert (answer.status_code, answer["Location"]) == (202, f"/api/v1/jobs/{job.id}")
        assert (answer.json()["job_id"], answer.json()["status"]) == (str(job.id), "queued")
        assert answer.json()["params"] == operation.clean({})
        assert adapted.queue.published == [(job.id, operation.name)]

    def test_is_answered_with_what_its_location_shows(self, api: APIClient) -> None:
        answer = send(api, photo(), field("scale", "2"), field("prompt", "a räven — 狐"))

        assert answer.json() == api.get(answer["Location"]).json()
        assert answer.json()["params"]["prompt"] == "a räven — 狐"

    def test_works_for_a_person_in_a_browser(self, bob: User, alice: User) -> None:
        answer = send(browser_of(bob), photo())

        assert answer.status_code == 202
        assert Job.objects.get().account_id == alice.account.pk

    @pytest.mark.parametrize(
        "filename", ["höhe 1.png", "狐.png", "-rf.png", "a'b&c;d.png", "no-suffix", "a" * 196 + ".png"]
    )
    def test_keeps_the_name_of_the_file(self, api: APIClient, filename: str) -> None:
        answer = send(api, photo(filename=filename))

        assert answer.json()["input"]["filename"] == filename

    def test_is_accepted_although_the_queue_is_away(
        self, api: APIClient, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adapted.queue, "publish", away)

        answer = send(api, photo())

        assert (answer.status_code, answer.json()["status"]) == (202, "queued")

    def test_twice_without_a_key_makes_two_jobs(self, api: APIClient) -> None:
        first, second = (send(api, photo()).json()["job_id"] for _ in range(2))

        assert first != second


def away(*_call: Any, **_job: Any) -> None:
    raise Unavailable("It does not answer.")


@pytest.mark.usefixtures("nothing_happened")
class TestABadPhoto:
    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            pytest.param(b"Dear Sir or Madam", 415, "not_an_image", id="text"),
            pytest.param(b"\x89PNG\r\n\x1a\n", 415, "not_an_image", id="signature alone"),
            pytest.param(png()[:-20], 415, "incomplete_image", id="cut png"),
            pytest.param(jpeg()[:-40], 415, "incomplete_image", id="cut jpeg"),
            pytest.param(b"", 400, "empty_file", id="zero bytes"),
            pytest.param(png_that_claims(100_000, 100_000), 413, "too_many_pixels", id="header bomb"),
            pytest.param(png_that_claims(8_000, 6_500), 413, "too_many_pixels", id="over the pixel limit"),
            pytest.param(png(2_100, 2_000), 413, "too_many_pixels", id="result over the pixel limit"),
            pytest.param(png_that_claims(25_000, 40), 422, "bad_image_side", id="too long"),
            pytest.param(png(64, 31), 422, "bad_image_side", id="too small"),
            pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", 415, "not_an_image", id="svg"),
            pytest.param(b"<!doctype html><script>alert(1)</script>", 415, "not_an_image", id="html"),
            pytest.param(b"%PDF-1.7\n1 0 obj", 415, "not_an_image", id="pdf"),
            pytest.param(b"GIF89a" + b"\0" * 40, 415, "not_an_image", id="empty gif"),
        ],
    )
    def test_is_refused(self, api: APIClient, content: bytes, status: int, code: str) -> None:
        refused(send(api, photo(content)), status, code)

    def test_over_the_size_limit_is_told_both_numbers(
        self, api: APIClient, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = replace(adapted.service, limits_of=lambda account: Limits(max_bytes=1024 * 1024))
        monkeypatch.setattr(adapters, "job_service", lambda: small)

        answer = send(api, photo(b"x" * 3 * 512 * 1024))

        refused(answer, 413, "file_too_large")
        assert answer.json()["detail"] == "The file has 1.5 MB; at most 1 MB are allowed."

    def test_over_the_pixel_limit_is_told_both_numbers(self, api: APIClient) -> None:
        detail = send(api, photo(png_that_claims(8_000, 6_500))).json()["detail"]

        assert detail == "The photo has 52.0 megapixels; at most 50 are allowed."

    @pytest.mark.parametrize("filename", ["../../etc/passwd", "..", "a/b.png", "C:\\photo.png", "a\tb.png", "a" * 300])
    def test_with_a_bad_name_is_refused(self, api: APIClient, filename: str) -> None:
        refused(send(api, photo(filename=filename)), 422, "bad_filename")


@pytest.mark.usefixtures("nothing_happened")
class TestABadForm:
    @pytest.mark.parametrize(
        ("fields", "parameter"),
        [
            pytest.param([field("colour", "red")], "colour", id="unknown"),
            pytest.param([field("scale", "3")], "scale", id="not a choice"),
            pytest.param([field("scale", "large")], "scale", id="not a number"),
            pytest.param([field("guidance_scale", "20.5")], "guidance_scale", id="out of range"),
            pytest.param([field("guidance_scale", "nan")], "guidance_scale", id="nan"),
            pytest.param([field("seed", "-1")], "seed", id="negative"),
            pytest.param([field("seed", "1.5")], "seed", id="not whole"),
            pytest.param([field("reproducible", "perhaps")], "reproducible", id="not a flag"),
            pytest.param([field("prompt", "x" * 1_001)], "prompt", id="too long"),
            pytest.param([field("prompt", "a\0b")], "prompt", id="NUL"),
            pytest.param([field("engine", "esrgan")], "engine", id="no engine of ours"),
            pytest.param([field("scale", "2"), field("scale", "4")], "scale", id="twice"),
            pytest.param([field("image", "again")], "image", id="photo and text of one name"),
        ],
    )
    def test_is_told_which_parameter_is_wrong(self, api: APIClient, fields: list[Part], parameter: str) -> None:
        answer = send(api, photo(), *fields)

        refused(answer, 422, "invalid_parameters")
        assert list(answer.json()["errors"]) == [parameter]
        assert parameter in answer.json()["detail"]

    def test_is_told_of_all_that_is_wrong_at_once(self, api: APIClient) -> None:
        answer = send(api, photo(), field("scale", "3"), field("seed", "x"), field("colour", "red"))

        assert set(answer.json()["errors"]) == {"scale", "seed", "colour"}

    @pytest.mark.parametrize(
        ("parts", "code"),
        [
            pytest.param([], "image_missing", id="nothing"),
            pytest.param([field("scale", "2")], "image_missing", id="no file"),
            pytest.param([field("image", "data:image/png;base64,AAAA")], "image_missing", id="photo as text"),
            pytest.param([photo(name="photo")], "image_missing", id="another field"),
            pytest.param([photo(filename="")], "image_missing", id="file without a name"),
            pytest.param([photo(), photo(filename="second.png")], "several_images", id="two files"),
            pytest.param([photo(), photo(name="mask")], "several_images", id="two files of two names"),
            pytest.param([photo()] * 12, "malformed", id="very many files"),
            pytest.param([photo(), *[field(f"f{n}", "") for n in range(101)]], "malformed", id="very many fields"),
            pytest.param(
                [Part("image", b"!", "a.png", "Content-Transfer-Encoding: base64\r\n")], "malformed", id="base64"
            ),
        ],
    )
    def test_without_exactly_one_photo_is_refused(self, api: APIClient, parts: list[Part], code: str) -> None:
        refused(send(api, *parts), 400, code)

    @pytest.mark.parametrize(
        ("body", "kind", "status", "code"),
        [
            pytest.param(form(photo()), "multipart/form-data", 400, "malformed", id="no boundary"),
            pytest.param(form(photo()), "multipart/form-data; boundary=é", 400, "malformed", id="bad boundary"),
            pytest.param(
                form(photo()), "multipart/form-data; boundary=another", 400, "image_missing", id="wrong boundary"
            ),
            pytest.param(form(photo())[:-80], MULTIPART, 400, "image_missing", id="cut in the photo"),
            pytest.param(form(photo())[:40], MULTIPART, 400, "image_missing", id="cut in a header"),
            pytest.param(b"", MULTIPART, 400, "image_missing", id="no body"),
            pytest.param(b"\xff" * 500, MULTIPART, 400, "image_missing", id="noise"),
            pytest.param(b'{"image": "x"}', "application/json", 400, "image_missing", id="json"),
            pytest.param(
                b"image=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type", id="urlencoded"
            ),
            pytest.param(png(), "image/png", 415, "unsupported_media_type", id="the bare photo"),
            pytest.param(png(), "nonsense", 415, "unsupported_media_type", id="no media type"),
        ],
    )
    @pytest.mark.parametrize("who", ["program", "browser"])
    def test_that_is_no_form_is_refused(
        self, api: APIClient, alice: User, body: bytes, kind: str, status: int, code: str, who: str
    ) -> None:
        if who == "browser":
            api = browser_of(alice)

        refused(api.generic("POST", UPSCALE, body, kind), status, code)

    def test_with_too_much_text_is_told_so(self, api: APIClient) -> None:
        answer = send(api, photo(), field("prompt", "x" * 300_000))

        refused(answer, 413, "form_too_large")

    def test_is_for_no_other_method(self, api: APIClient) -> None:
        answer = api.get(UPSCALE)

        refused(answer, 405, "method_not_allowed")
        assert "POST" in answer["Allow"]

    def test_for_an_operation_that_does_not_exist_is_not_found(self, api: APIClient) -> None:
        refused(send(api, photo(), path="/api/v1/images/rotate"), 404, "not_found")


class TestAnAccountThatCannotSubmit:
    def test_is_told_what_it_needs_and_has(self, api: APIClient, adapted: World, alice: User) -> None:
        billing.services.grant(account=alice.account, credits=1, reference="test", now=alice.joined_at)

        answer = send(api, photo())

        refused(answer, 402, "insufficient_credits")
        assert answer.json()["detail"] == "This needs 2 credits and the account has 1."
        assert not Job.objects.exists()
        assert not adapted.images.objects

    @pytest.mark.usefixtures("nothing_happened")
    def test_is_asked_to_come_back_when_the_image_store_is_away(
        self, api: APIClient, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adapted.images, "write", away)

        answer = send(api, photo())

        refused(answer, 503, "service_unavailable")
        assert int(answer["Retry-After"]) > 0


@pytest.mark.usefixtures("adapted")
class TestAnIdempotencyKey:
    KEY = {"Idempotency-Key": "order-1"}

    def test_makes_one_job_with_one_answer_however_often_it_comes(self, api: APIClient, rich: Account) -> None:
        answers = [send(api, photo(), headers=self.KEY) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert len({(answer.content, answer["Location"]) for answer in answers}) == 1
        assert Job.objects.count() == 1
        assert billing.services.balance(rich).held == answers[0].json()["credits"]

    def test_shows_the_job_as_it_is_by_now(self, api: APIClient, adapted: World, rich: Account) -> None:
        job_id = send(api, photo(), headers=self.KEY).json()["job_id"]
        adapted.runner.run(Job.objects.get().id)

        answer = send(api, photo(), headers=self.KEY).json()

        assert (answer["job_id"], answer["status"]) == (job_id, "completed")

    @pytest.mark.parametrize("other", [[photo(jpeg())], [photo(), field("scale", "2")], [photo(filename="other.png")]])
    def test_of_another_request_is_refused(self, api: APIClient, rich: Account, other: list[Part]) -> None:
        send(api, photo(), headers=self.KEY)

        refused(send(api, *other, headers=self.KEY), 422, "idempotency_key_reused")
        assert Job.objects.count() == 1

    def test_of_another_account_is_free(self, api: APIClient, rich: Account, charlie: User, charlie_key: str) -> None:
        billing.services.grant(account=charlie.account, credits=10, reference="charlie", now=charlie.joined_at)
        first = send(api, photo(), headers=self.KEY).json()["job_id"]

        assert send(asking_with(charlie_key), photo(), headers=self.KEY).json()["job_id"] != first

    @pytest.mark.usefixtures("nothing_happened")
    @pytest.mark.parametrize("key", ["with space", "x" * 256, "é", "tab\there"])
    def test_that_is_bad_is_refused(self, api: APIClient, key: str) -> None:
        refused(send(api, photo(), headers={"Idempotency-Key": key}), 422, "invalid_idempotency_key")

    @pytest.mark.usefixtures("nothing_happened")
    def test_is_free_again_after_a_request_that_was_refused(self, api: APIClient) -> None:
        refused(send(api, photo(), field("scale", "3"), headers=self.KEY), 422, "invalid_parameters")
        refused(send(api, photo(b"?"), headers=self.KEY), 415, "not_an_image")


@pytest.fixture
def file_database(tmp_path: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), default_database(sqlite_file(str(tmp_path / "site.sqlite3"))):
        yield


class TestTwoRequestsAtOnce:
    def test_with_one_key_make_and_charge_one_job(
        self, file_database: None, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = Account.objects.create(name="Busy")
        billing.services.grant(account=account, credits=10, reference="test", now=NOW)
        key = key_with(account, "jobs:read", "jobs:write")
        monkeypatch.setattr(adapted.images, "write", meeting(2, adapted.images.write))

        answers = in_threads(2, [partial(send, asking_with(key), photo(), headers={"Idempotency-Key": "1"})] * 2)

        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json()["job_id"] == answers[1].json()["job_id"]
        assert Job.objects.count() == 1
        assert LedgerEntry.objects.filter(kind="hold").count() == 1
        assert len(adapted.images.objects) == 1

    def test_for_the_last_credits_are_not_both_accepted(
        self, file_database: None, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = Account.objects.create(name="Busy")
        billing.services.grant(account=account, credits=3, reference="test", now=NOW)
        key = key_with(account, "jobs:read", "jobs:write")
        monkeypatch.setattr(adapted.images, "write", meeting(2, adapted.images.write))

        answers = in_threads(2, [partial(send, asking_with(key), photo())] * 2)

        assert sorted(answer.status_code for answer in answers) == [202, 402]
        assert billing.services.balance(account) == billing.services.Balance(available=1, held=2)
        assert len(adapted.images.objects) == 1


def meeting(number: int, call: Callable[..., None]) -> Callable[..., None]:
    """Let so many threads into the call only together: each has then looked before any of them wrote."""
    barrier = threading.Barrier(number, timeout=10)

    def met(*given: Any) -> None:
        barrier.wait()
        call(*given)

    return met
