"""Cloud Storage beyond the contract of every image store: addresses that Google signs, and what goes wrong."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from google.api_core.exceptions import Forbidden
from google.auth.exceptions import TransportError

from jobs import adapters, cloud_storage
from jobs.cloud_storage import BucketStorage
from jobs.errors import ObjectMissing, Unavailable
from jobs.image_store import DjangoImageStore, output_path
from jobs.links import Link
from jobs.tests.v4 import verdict

if TYPE_CHECKING:
    from django.test import Client

    from tests.emulator_fixtures import Emulator

MINUTES_11 = timedelta(minutes=11)
LINK = Link("outputs/1/result 1.png", "mein bild é.png")


@pytest.fixture
def offline() -> BucketStorage:
    """A bucket that nobody is asked about: signing needs no service."""
    return BucketStorage(project="p", bucket="photos", endpoint="http://127.0.0.1:9")


def key_of(storage: BucketStorage) -> Any:
    return storage.signing_account.signer._impl._key.public_key()


class TestAnAddress:
    def test_is_what_google_takes_for_a_download_of_this_object(self, offline: BucketStorage) -> None:
        address = offline.address_of(LINK)

        assert verdict("GET", address, key_of(offline)) == "OK"
        assert verdict("PUT", address, key_of(offline)) == "SignatureDoesNotMatch"
        assert verdict("GET", address.replace("/1/", "/2/"), key_of(offline)) == "SignatureDoesNotMatch"

    def test_is_of_no_use_after_some_minutes(self, offline: BucketStorage) -> None:
        assert verdict("GET", offline.address_of(LINK), key_of(offline), after=MINUTES_11) == "ExpiredToken"

    def test_downloads_under_the_links_name_and_never_shows_a_page(self, offline: BucketStorage) -> None:
        (disposition,) = parse_qs(urlsplit(offline.address_of(LINK)).query)["response-content-disposition"]

        assert disposition == "attachment; filename*=UTF-8''mein%20bild%20%C3%A9.png"

    def test_is_signed_once_for_those_who_follow_a_link_within_minutes(
        self, offline: BucketStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(cloud_storage.time, "monotonic", lambda: now[0])
        first = offline.address_of(LINK)

        signed = []
        monkeypatch.setattr(offline.signing_account.signer, "sign", lambda text: signed.append(text) or b"x")
        now[0] += 4 * 60
        again = offline.address_of(LINK)
        now[0] += 2 * 60
        later = offline.address_of(LINK)

        assert again == first
        assert later != first
        assert len(signed) == 1

    def test_of_another_name_is_another(self, offline: BucketStorage) -> None:
        assert offline.address_of(LINK) != offline.address_of(Link(LINK.path, "other.png"))


class TestWithoutAKey:
    """As on Cloud Run: whoever runs us has a token, and the IAM API signs."""

    @pytest.fixture
    def cloud(self, monkeypatch: pytest.MonkeyPatch) -> BucketStorage:
        monkeypatch.setattr(cloud_storage.google.auth, "default", lambda scopes: (_Token(), "p"))
        return BucketStorage(project="p", bucket="photos", signer="web@p.iam.gserviceaccount.com")

    def test_the_iam_api_signs_in_the_name_of_the_signer(
        self, cloud: BucketStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, float]] = []

        def answer(_request: Any, url: str, timeout: float, **_named: Any) -> Any:
            asked.append((url, timeout))
            return _Answer(b'{"signedBlob": "c2lnbmVk"}')

        monkeypatch.setattr(cloud_storage.Request, "__call__", answer)

        address = cloud.address_of(LINK)

        assert address.startswith("https://storage.googleapis.com/photos/outputs/1/result%201.png?")
        assert address.endswith("X-Goog-Signature=" + b"signed".hex())
        assert "web%40p.iam.gserviceaccount.com" in address
        ((url, timeout),) = asked
        assert url.endswith("/serviceAccounts/web@p.iam.gserviceaccount.com:signBlob")
        assert timeout <= 5

    def test_an_api_that_does_not_sign_is_an_outage(
        self, cloud: BucketStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_given: Any, **_named: Any) -> None:
            raise TransportError("no route")

        monkeypatch.setattr(cloud_storage.Request, "__call__", fail)

        with pytest.raises(OSError, match="TransportError"):
            cloud.address_of(LINK)


class _Token(cloud_storage.AnonymousCredentials):  # type: ignore[misc]
    def before_request(self, _request: Any, _method: str, _url: str, headers: dict[str, str]) -> None:
        headers["authorization"] = "Bearer token"


class _Answer:
    status = 200

    def __init__(self, data: bytes) -> None:
        self.data = data


class TestALinkOfThisSite:
    def test_leads_to_google(self, client: Client, offline: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(default_storage, "_wrapped", offline)
        link = DjangoImageStore(offline).link(LINK.path, filename=LINK.filename, lifetime=timedelta(hours=1))

        answer = client.get(link)

        assert answer.status_code == 302
        assert verdict("GET", answer["Location"], key_of(offline)) == "OK"
        assert answer["Cache-Control"] == "private, max-age=300"

    def test_asks_nobody_until_it_is_followed(self, offline: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BucketStorage, "signed", lambda *_given, **_named: pytest.fail("Signed for a list."))

        links = {DjangoImageStore(offline).link(f"outputs/{n}", filename="a", lifetime=MINUTES_11) for n in range(100)}

        assert len(links) == 100

    def test_that_cannot_be_signed_now_says_so(
        self, client: Client, offline: BucketStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_given: Any, **_named: Any) -> None:
            raise OSError("no route")

        monkeypatch.setattr(default_storage, "_wrapped", offline)
        monkeypatch.setattr(offline, "signed", fail)
        link = DjangoImageStore(offline).link(LINK.path, filename=LINK.filename, lifetime=timedelta(hours=1))

        assert client.get(link).status_code == 503


class TestAnOutageOfTheBucket:
    @pytest.fixture
    def store(self, offline: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> DjangoImageStore:
        # Nothing listens there; without the second tries it is known at once.
        monkeypatch.setattr(cloud_storage, "RETRY", None)
        return DjangoImageStore(offline)

    def test_is_worth_a_retry(self, store: DjangoImageStore) -> None:
        job_id = uuid4()
        path = output_path(job_id, 1, "png")

        for attempt in (
            lambda: store.read(path),
            lambda: store.write(path, io.BytesIO(b"x")),
            lambda: store.delete_job(job_id),
        ):
            with pytest.raises(Unavailable) as refusal:
                attempt()
            assert refusal.value.retryable

    def test_is_no_missing_object_when_the_account_may_not_read(
        self, store: DjangoImageStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_given: Any, **_named: Any) -> None:
            raise Forbidden("403 storage.objects.get denied to worker@p")

        monkeypatch.setattr(cloud_storage.Client, "bucket", refuse)

        with pytest.raises(Unavailable) as refusal:
            store.read("inputs/1/a.png")
        assert not isinstance(refusal.value, ObjectMissing)
        assert "worker@p" not in str(refusal.value)


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestABucket:
    def test_that_comes_back_has_lost_nothing_by_our_connection(
        self, storage_emulator: Emulator, bucket: BucketStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cloud_storage, "RETRY", None)
        store, path = DjangoImageStore(bucket), output_path(uuid4(), 1, "png")
        store.write(path, io.BytesIO(b"before"))

        storage_emulator.kill()
        with pytest.raises(Unavailable):
            store.read(path)
        storage_emulator.start()
        bucket.client.create_bucket(bucket.bucket_name)
        store.write(path, io.BytesIO(b"after"))

        assert store.read(path) == b"after"

    def test_keeps_what_kind_of_picture_an_object_is(self, bucket: BucketStorage) -> None:
        path = output_path(uuid4(), 1, "webp")

        DjangoImageStore(bucket).write(path, io.BytesIO(b"x"))

        blob = bucket.blob(path)
        blob.reload()
        assert blob.content_type == "image/webp"

    def test_takes_a_result_of_forty_megabytes(self, bucket: BucketStorage) -> None:
        path, content = output_path(uuid4(), 1, "png"), bytes(40 * 2**20)
        store = DjangoImageStore(bucket)

        store.write(path, io.BytesIO(content))

        assert len(store.read(path)) == len(content)

    def test_is_the_site_s_store_in_the_cloud(self, bucket: BucketStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(default_storage, "_wrapped", bucket)

        adapters.image_store().write("outputs/1/1/result.png", io.BytesIO(b"x"))

        assert bucket.blob("outputs/1/1/result.png").exists()
