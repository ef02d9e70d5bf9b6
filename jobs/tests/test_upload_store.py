"""The contract of every store that clients send photos to; each is sent to as its clients do."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from django.utils import timezone

from imagen_site.tests.test_body_limit import ask, scope
from imagen_site.upload_door import UploadDoor
from jobs.cloud_uploads import BucketUploadStore
from jobs.errors import ObjectMissing, Unavailable, UploadIncomplete, UploadMismatch, UploadSent
from jobs.image_store import DjangoImageStore, MemoryImageStore, SignedFileStorage, upload_path
from jobs.tests.test_cloud_storage import key_of
from jobs.tests.v4 import verdict
from jobs.upload_store import FileUploadStore, MemoryUploadStore, Promise, Slot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobs.cloud_storage import BucketStorage
    from jobs.image_store import ImageStore
    from jobs.upload_store import UploadStore

PHOTO = b"a photo " * 1000
EMULATED = [pytest.mark.emulator, pytest.mark.xdist_group("emulators")]


@dataclass
class Place:
    """A store, the pictures beside it, and how its clients send: `send` returns the status of the PUT."""

    uploads: UploadStore
    images: ImageStore
    send: Callable[[Slot, bytes, dict[str, str]], int]

    def slot(self, promise: Promise) -> Slot:
        return self.uploads.slot(promise, now=timezone.now())


@pytest.fixture(params=["memory", "files", pytest.param("bucket", marks=EMULATED)])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.getfixturevalue(f"{request.param}_place")
    return made


@pytest.fixture
def memory_place() -> Place:
    images = MemoryImageStore()
    uploads = MemoryUploadStore(images)

    def send(slot: Slot, content: bytes, headers: dict[str, str]) -> int:
        try:
            uploads.put(slot.url, content, headers["Content-Type"])
        except UploadSent:
            return 409
        return 200

    return Place(uploads, images, send)


@pytest.fixture
def files_place(tmp_path: Path) -> Place:
    storage = SignedFileStorage(location=tmp_path, allow_overwrite=True)
    uploads = FileUploadStore(storage)
    door = UploadDoor(_nobody, lambda: uploads)

    def send(slot: Slot, content: bytes, headers: dict[str, str]) -> int:
        named = {name.replace("-", "_").lower(): value for name, value in headers.items()}
        request = {**scope(slot.url, **named), "method": "PUT"}
        return asyncio.run(ask(door, request, content[:5000], content[5000:]))[0]

    return Place(uploads, DjangoImageStore(storage), send)


@pytest.fixture
def bucket_place(bucket: BucketStorage) -> Place:
    def send(slot: Slot, content: bytes, headers: dict[str, str]) -> int:
        code = verdict("PUT", slot.url, key_of(bucket), headers=headers, body_bytes=len(content))
        if code != "OK":
            return 400
        if (
            headers["x-goog-if-generation-match"] == "0"
            and bucket.blob(slot.url.split("?")[0].split("/", 4)[4]).exists()
        ):
            # The stand-in replaces it all the same.
            return 412
        return httpx.put(slot.url, content=content, headers=headers).status_code

    return Place(BucketUploadStore(bucket), DjangoImageStore(bucket), send)


async def _nobody(*_given: Any) -> None:
    raise AssertionError("The door let an upload through.")


@pytest.fixture
def promise() -> Promise:
    path = upload_path(uuid4(), "holiday 1.png")
    return Promise(path, "image/png", len(PHOTO), timezone.now() + timedelta(hours=1))


class TestEveryStore:
    def test_takes_a_photo_as_it_was_promised_and_gives_it_to_a_job(self, place: Place, promise: Promise) -> None:
        slot = place.slot(promise)

        assert place.send(slot, PHOTO, dict(slot.headers)) == 200

        generation = place.uploads.find(promise)
        place.uploads.copy(promise.path, generation=generation, to="inputs/1/holiday.png")
        place.uploads.delete(promise.path)
        assert place.images.read("inputs/1/holiday.png") == PHOTO

    def test_reads_a_part(self, place: Place, promise: Promise) -> None:
        slot = place.slot(promise)
        place.send(slot, PHOTO, dict(slot.headers))

        part = place.uploads.read(promise.path, generation=place.uploads.find(promise), start=10, end=30)

        assert part == PHOTO[10:30]

    def test_says_that_nothing_has_come(self, place: Place, promise: Promise) -> None:
        with pytest.raises(UploadIncomplete):
            place.uploads.find(promise)

    def test_takes_no_second_photo_in_place_of_the_first(self, place: Place, promise: Promise) -> None:
        slot = place.slot(promise)
        place.send(slot, PHOTO, dict(slot.headers))

        assert place.send(slot, PHOTO[::-1], dict(slot.headers)) in {409, 412}

        generation = place.uploads.find(promise)
        assert place.uploads.read(promise.path, generation=generation, start=0, end=8) == PHOTO[:8]

    def test_finds_nothing_of_another_size_than_promised(self, place: Place, promise: Promise) -> None:
        slot = place.slot(promise)
        place.send(slot, PHOTO, dict(slot.headers))

        with pytest.raises(UploadMismatch):
            place.uploads.find(replace(promise, bytes=7))

    def test_reads_and_copies_nothing_that_was_replaced(self, place: Place, promise: Promise) -> None:
        slot = place.slot(promise)
        place.send(slot, PHOTO, dict(slot.headers))
        generation = place.uploads.find(promise)
        place.uploads.delete(promise.path)
        with pytest.raises(ObjectMissing):
            place.uploads.read(promise.path, generation=generation, start=0, end=8)
        # Something of ours keeps the first one's place, so that the second cannot get its number.
        place.images.write("outputs/1/1/result.png", _file(PHOTO))
        place.send(slot, PHOTO[::-1], dict(slot.headers))

        with pytest.raises((UploadMismatch, ObjectMissing)):
            place.uploads.read(promise.path, generation=generation, start=0, end=8)
        with pytest.raises((UploadMismatch, ObjectMissing)):
            place.uploads.copy(promise.path, generation=generation, to="inputs/1/holiday.png")

    def test_deletes_what_is_not_there_without_a_word(self, place: Place, promise: Promise) -> None:
        place.uploads.delete(promise.path)


def _file(content: bytes) -> Any:
    return io.BytesIO(content)


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestTheAddressOfABucket:
    """What Google refuses, by its own rules: the stand-in refuses nothing."""

    def ask(
        self, place: Place, bucket: BucketStorage, promise: Promise, *, size: int | None = None, **headers: Any
    ) -> str:
        slot = place.slot(promise)
        sent = {**slot.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        sent = {name: value for name, value in sent.items() if value is not None}
        return verdict(
            "PUT", slot.url, key_of(bucket), headers=sent, body_bytes=promise.bytes if size is None else size
        )

    @pytest.fixture
    def place(self, bucket_place: Place) -> Place:
        return bucket_place

    def test_leads_to_nothing_of_another_type_than_promised(
        self, place: Place, bucket: BucketStorage, promise: Promise
    ) -> None:
        bucket.blob(promise.path).upload_from_string(PHOTO, content_type="text/html")

        with pytest.raises(UploadMismatch, match="text/html"):
            place.uploads.find(promise)

    def test_takes_what_was_promised(self, place: Place, bucket: BucketStorage, promise: Promise) -> None:
        assert self.ask(place, bucket, promise) == "OK"

    @pytest.mark.parametrize(("more", "code"), [(1, "EntityTooLarge"), (-1, "EntityTooSmall")])
    def test_takes_no_other_size(
        self, place: Place, bucket: BucketStorage, promise: Promise, more: int, code: str
    ) -> None:
        assert self.ask(place, bucket, promise, size=promise.bytes + more) == code

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("Content-Type", "text/html"),
            ("x-goog-content-length-range", "1,999999999"),
            ("x-goog-if-generation-match", "7"),
        ],
    )
    def test_takes_no_header_that_was_changed(
        self, place: Place, bucket: BucketStorage, promise: Promise, header: str, value: str
    ) -> None:
        assert self.ask(place, bucket, promise, **{header: value}) == "SignatureDoesNotMatch"

    @pytest.mark.parametrize("header", ["x-goog-content-length-range", "x-goog-if-generation-match"])
    def test_takes_nothing_without_the_headers_that_bound_it(
        self, place: Place, bucket: BucketStorage, promise: Promise, header: str
    ) -> None:
        assert self.ask(place, bucket, promise, **{header: None}) == "MalformedSecurityHeader"

    def test_takes_no_header_that_would_make_it_public(
        self, place: Place, bucket: BucketStorage, promise: Promise
    ) -> None:
        assert self.ask(place, bucket, promise, x_goog_acl="public-read") == "MalformedSecurityHeader"

    def test_works_until_the_upload_expires(self, place: Place, bucket: BucketStorage, promise: Promise) -> None:
        slot = place.slot(promise)

        def after(minutes: int) -> str:
            return verdict(
                "PUT",
                slot.url,
                key_of(bucket),
                headers=slot.headers,
                body_bytes=promise.bytes,
                after=timedelta(minutes=minutes),
            )

        assert (after(58), after(61)) == ("OK", "ExpiredToken")


class TestAnOutage:
    def test_of_the_bucket_is_worth_a_retry(self, promise: Promise, monkeypatch: pytest.MonkeyPatch) -> None:
        from jobs import cloud_uploads
        from jobs.cloud_storage import BucketStorage

        monkeypatch.setattr(cloud_uploads, "RETRY", None)
        store = BucketUploadStore(BucketStorage(project="p", bucket="photos", endpoint="http://127.0.0.1:9"))

        for attempt in (
            lambda: store.find(promise),
            lambda: store.read(promise.path, generation="1", start=0, end=8),
            lambda: store.copy(promise.path, generation="1", to="inputs/1/a.png"),
        ):
            with pytest.raises(Unavailable):
                attempt()
