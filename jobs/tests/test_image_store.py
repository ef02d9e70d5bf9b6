from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import uuid4

import pytest
import time_machine
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import default_storage
from hypothesis import given
from hypothesis import strategies as st

from jobs import links
from jobs.errors import BadLink, ObjectMissing, Unavailable
from jobs.image_store import DjangoImageStore, MemoryImageStore, SignedFileStorage, input_path, output_path
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from jobs.image_store import ImageStore

HOUR = timedelta(hours=1)


@pytest.fixture
def files(tmp_path: Path) -> SignedFileStorage:
    # The folder is there from the start: behind a missing one, a path that leaves it would lead nowhere.
    (tmp_path / "media" / "inputs").mkdir(parents=True)
    return SignedFileStorage(location=tmp_path / "media", allow_overwrite=True)


EMULATED = [pytest.mark.emulator, pytest.mark.xdist_group("emulators")]


@pytest.fixture(params=["memory", "files", pytest.param("bucket", marks=EMULATED)])
def store(request: pytest.FixtureRequest) -> ImageStore:
    if request.param == "memory":
        return MemoryImageStore()
    return DjangoImageStore(request.getfixturevalue(request.param))


class TestEveryStore:
    """The contract; a new store joins the fixture above."""

    def test_gives_back_what_it_was_given(self, store: ImageStore) -> None:
        path, content = output_path(uuid4(), 1, "png"), bytes(range(256)) * 1000

        store.write(path, io.BytesIO(content))

        assert store.read(path) == content

    def test_replaces_an_object_of_the_same_path(self, store: ImageStore) -> None:
        path = output_path(uuid4(), 1, "png")
        store.write(path, io.BytesIO(b"a longer first one"))

        store.write(path, io.BytesIO(b"second"))

        assert store.read(path) == b"second"

    def test_says_that_an_object_is_gone(self, store: ImageStore) -> None:
        with pytest.raises(ObjectMissing):
            store.read(output_path(uuid4(), 1, "png"))

    def test_deletes_a_job_whole_and_leaves_the_others(self, store: ImageStore) -> None:
        job_id, other = uuid4(), uuid4()
        gone = [input_path(job_id, "a.png"), output_path(job_id, 1, "png"), output_path(job_id, 2, "webp")]
        for path in [*gone, input_path(other, "b.png")]:
            store.write(path, io.BytesIO(b"x"))

        store.delete_job(job_id)
        store.delete_job(job_id)

        for path in gone:
            with pytest.raises(ObjectMissing):
                store.read(path)
        assert store.read(input_path(other, "b.png")) == b"x"

    def test_links_to_an_object(self, store: ImageStore) -> None:
        path = output_path(uuid4(), 1, "png")
        store.write(path, io.BytesIO(b"x"))

        link = store.link(path, filename="mein bild.png", lifetime=HOUR)

        assert link.startswith("/")
        assert "mein bild" not in link


@pytest.mark.django_db
class TestALink:
    @pytest.fixture
    def link(self) -> str:
        path = output_path(uuid4(), 1, "png")
        store = DjangoImageStore(default_storage)
        store.write(path, io.BytesIO(b"pixels"))
        return store.link(path, filename="mein bild é.png", lifetime=HOUR)

    def test_downloads_the_file_under_its_name_and_never_shows_it_as_a_page(self, client: Client, link: str) -> None:
        answer = client.get(link)

        assert b"".join(answer.streaming_content) == b"pixels"
        assert answer["Content-Type"] == "image/png"
        assert answer["Content-Disposition"].startswith("attachment")
        assert "mein bild é.png" in unquote(answer["Content-Disposition"])
        assert "sandbox" in answer["Content-Security-Policy"]
        assert answer["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("lifetime", [timedelta(minutes=5), HOUR, timedelta(days=7)])
    def test_works_for_its_lifetime_and_no_longer(self, client: Client, lifetime: timedelta) -> None:
        path = output_path(uuid4(), 1, "png")
        store = DjangoImageStore(default_storage)
        store.write(path, io.BytesIO(b"pixels"))
        with time_machine.travel(NOW, tick=False) as clock:
            link = store.link(path, filename="a.png", lifetime=lifetime)
            clock.shift(lifetime - timedelta(seconds=1))
            before = client.get(link)
            before.close()
            clock.shift(timedelta(seconds=2))
            after = client.get(link)

        assert (before.status_code, after.status_code) == (200, 404)

    def test_of_a_deleted_file_is_not_found(self, client: Client) -> None:
        job_id, store = uuid4(), DjangoImageStore(default_storage)
        path = output_path(job_id, 1, "png")
        store.write(path, io.BytesIO(b"pixels"))
        link = store.link(path, filename="a.png", lifetime=HOUR)

        store.delete_job(job_id)

        assert client.get(link).status_code == 404

    @pytest.mark.parametrize("position", [8, 20, -1, -5])
    def test_that_was_changed_is_not_found(self, client: Client, link: str, position: int) -> None:
        forged = link[:position] + ("A" if link[position] != "A" else "B") + link[position:][1:]

        assert client.get(forged).status_code == 404

    @pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "inputs/../../secret"])
    def test_cannot_leave_the_folder_even_when_we_signed_it(
        self, files: SignedFileStorage, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "secret").write_text("secret")

        with pytest.raises((BadLink, SuspiciousFileOperation)):
            files.open_link(links.Link(path, "a.png"))


class TestADeletedJob:
    def test_leaves_no_empty_folder_behind(self, files: SignedFileStorage, tmp_path: Path) -> None:
        job_id, store = uuid4(), DjangoImageStore(files)
        for path in (input_path(job_id, "a.png"), output_path(job_id, 1, "png"), output_path(job_id, 2, "png")):
            store.write(path, io.BytesIO(b"x"))

        store.delete_job(job_id)

        assert list(tmp_path.rglob(f"*{job_id}*")) == []


class TestAPathOfTheFileStore:
    @pytest.mark.parametrize("path", ["../secret", "outputs/../../secret"])
    def test_cannot_leave_the_folder(self, files: SignedFileStorage, tmp_path: Path, path: str) -> None:
        (tmp_path / "secret").write_text("secret")
        store = DjangoImageStore(files)

        with pytest.raises(SuspiciousFileOperation):
            store.read(path)
        with pytest.raises(SuspiciousFileOperation):
            store.write(path, io.BytesIO(b"mine"))
        assert (tmp_path / "secret").read_text() == "secret"


class TestAnInputsPath:
    @given(st.text(max_size=300))
    def test_is_safe_whatever_the_file_is_called(self, filename: str) -> None:
        job_id = uuid4()

        folder, _, name = input_path(job_id, filename).rpartition("/")

        assert folder == f"inputs/{job_id}"
        assert name
        assert not name.startswith(".")
        assert len(name) <= 80
        assert name.isascii()
        assert "/" not in name

    @pytest.mark.parametrize("start", ["", ".", "..", "x", "../" * 5])
    def test_begins_with_no_dot_wherever_a_long_name_is_cut(self, start: str) -> None:
        for length in range(70, 90):
            name = input_path(uuid4(), f"{start}.{'x' * length}").rpartition("/")[2]

            assert not name.startswith(".")
            assert name

    @pytest.mark.parametrize("filename", ["...", "." * 300, ""])
    def test_has_a_name_even_for_a_file_that_has_none(self, filename: str) -> None:
        assert input_path(uuid4(), filename).endswith("/photo")

    def test_keeps_a_plain_name(self) -> None:
        job_id = uuid4()

        assert input_path(job_id, "holiday-1.png") == f"inputs/{job_id}/holiday-1.png"


class TestAFolderThatCannotBeUsed:
    def test_is_an_outage_and_not_a_crash(self, tmp_path: Path) -> None:
        (tmp_path / "media").write_text("a file where the folder should be")
        store = DjangoImageStore(SignedFileStorage(location=tmp_path / "media"))
        job_id = uuid4()
        path = output_path(job_id, 1, "png")

        with pytest.raises(Unavailable):
            store.write(path, io.BytesIO(b"x"))
        with pytest.raises(Unavailable):
            store.read(path)
        with pytest.raises(Unavailable) as refusal:
            store.delete_job(job_id)
        assert refusal.value.retryable
