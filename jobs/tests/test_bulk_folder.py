from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from PIL import Image

from jobs.bulk.folder import Import, files_in, save_result
from jobs.bulk.run import CannotGoOn
from jobs.models import Job
from jobs.operations import OPERATIONS, Limits
from jobs.tests.bulk_cast import Bulk
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import Account
    from jobs.bulk.summary import Summary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "2026" / "may").mkdir(parents=True)
    (folder / "beach.png").write_bytes(png(64))
    (folder / "2026" / "beach.png").write_bytes(png(65))
    (folder / "2026" / "may" / "Zoë & co.png").write_bytes(png(66))
    return folder


def import_all(world: World, account: Account, folder: Path, **values: Any) -> Summary:
    def works() -> Iterator[Import]:
        for path in files_in(folder):
            yield Import(world.service, account, folder, path, OPERATIONS["enhance"], values)

    bulk = Bulk(world)
    summary = bulk.run(works())
    summary.broken_off += bulk.said.getvalue()
    return summary


class TestFilesIn:
    def test_are_found_in_every_folder_by_name(self, folder: Path) -> None:
        found = [str(path.relative_to(folder)) for path in files_in(folder)]

        assert found == ["beach.png", "2026/beach.png", "2026/may/Zoë & co.png"]

    def test_are_neither_hidden_nor_in_the_folder_of_the_results(self, folder: Path) -> None:
        for name in (".git/a.png", ".DS_Store", "results/a.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(png())

        assert len(list(files_in(folder, but=folder / "results"))) == 3

    def test_do_not_go_round_in_circles(self, folder: Path) -> None:
        (folder / "2026" / "again").symlink_to(folder)

        assert len(list(files_in(folder))) == 3


class TestAnImport:
    def test_makes_a_job_of_every_photo_under_its_own_name(self, world: World, rich: Account, folder: Path) -> None:
        summary = import_all(world, rich, folder, strength="0.7")

        assert (summary.made, summary.credits) == (3, 6)
        assert sorted(Job.objects.values_list("filename", "params__strength")) == [
            ("Zoë & co.png", 0.7),
            ("beach.png", 0.7),
            ("beach.png", 0.7),
        ]

    def test_skips_what_is_no_image_with_a_sentence(self, world: World, rich: Account, folder: Path) -> None:
        (folder / "notes.txt").write_text("Buy milk.")
        (folder / "nothing.jpg").touch()
        os.mkfifo(folder / "pipe.png")

        summary = import_all(world, rich, folder)

        assert summary.made == 3
        assert summary.skipped == {"not_an_image": 1, "empty_file": 1, "not_a_file": 1}
        assert "notes.txt: skipped. This is not an image we can read." in summary.broken_off
        assert not summary.failed

    def test_fails_a_photo_that_is_damaged_and_goes_on(self, world: World, rich: Account, folder: Path) -> None:
        (folder / "beach.png").write_bytes(png(64)[:-20])

        summary = import_all(world, rich, folder)

        assert (summary.made, summary.failed) == (2, {"incomplete_image": 1})

    def test_reads_no_file_that_is_too_large_to_be_taken(
        self, world: World, rich: Account, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("film.mov", "huge.png"):
            with (folder / name).open("wb") as file:
                file.truncate(Limits().max_bytes + 1)
        read = Path.read_bytes
        opened: list[str] = []
        monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))

        summary = import_all(world, rich, folder)

        assert (summary.made, summary.skipped, summary.failed) == (3, {"not_an_image": 1}, {"file_too_large": 1})
        assert {"film.mov", "huge.png"}.isdisjoint(opened)

    def test_fails_what_may_not_be_read(
        self, world: World, rich: Account, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(path: Path) -> bytes:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_bytes", refused)

        summary = import_all(world, rich, folder)

        assert summary.failed == {"unreadable_file": 3}
        assert "beach.png: It cannot be read: Permission denied." in summary.broken_off

    def test_repeated_takes_only_what_is_new_or_was_changed(self, world: World, rich: Account, folder: Path) -> None:
        import_all(world, rich, folder)
        (folder / "2026" / "beach.png").write_bytes(png(67))
        (folder / "2026" / "new.png").write_bytes(png(64))

        summary = import_all(world, rich, folder)

        assert (summary.made, summary.made_before) == (2, 2)

    def test_bears_a_name_that_is_no_text(self, world: World, rich: Account, folder: Path) -> None:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(png(70))

        summary = import_all(world, rich, folder)

        assert summary.made == 4
        assert Job.objects.filter(filename="caf\ufffd.png").exists()

    def test_holds_no_more_than_two_photos_in_memory(
        self, world: World, rich: Account, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.images, "write", lambda _path, _content: None)
        photo = io.BytesIO()
        Image.effect_noise((700, 700), 80).save(photo, "PNG")
        for number in range(12):
            (folder / f"noise-{number}.png").write_bytes(photo.getvalue())

        tracemalloc.start()
        try:
            summary = import_all(world, rich, folder)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert (summary.made, len(photo.getvalue()) > 400_000) == (15, True)
        assert peak < 4 * len(photo.getvalue())


class TestAResult:
    @pytest.mark.parametrize(
        ("name", "suffix", "written"),
        [
            ("a/beach.jpg", ".jpg", "a/beach.jpg"),
            ("a/BEACH.JPEG", ".jpg", "a/BEACH.JPEG"),
            ("a/beach.heic", ".png", "a/beach.png"),
            ("a/v1.2 beach.jpg", ".png", "a/v1.2 beach.png"),
            ("beach", ".png", "beach.png"),
        ],
    )
    def test_lies_where_its_photo_lay_and_ends_as_what_it_is(
        self, tmp_path: Path, name: str, suffix: str, written: str
    ) -> None:
        path = save_result(b"result", tmp_path, job_id=uuid4(), name=name, suffix=suffix)

        assert str(path.relative_to(tmp_path)) == written
        assert path.read_bytes() == b"result"
        assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]

    def test_replaces_nothing_and_is_written_once(self, tmp_path: Path) -> None:
        (tmp_path / "beach.png").write_bytes(b"mine")

        names = [
            save_result(content, tmp_path, job_id=uuid4(), name=name, suffix=".png").name
            for content, name in [(b"1", "beach.png"), (b"2", "beach.heic"), (b"2", "beach.heic"), (b"1", "beach.png")]
        ]

        assert names == ["beach-2.png", "beach-3.png", "beach-3.png", "beach-2.png"]
        assert (tmp_path / "beach.png").read_bytes() == b"mine"

    def test_that_cannot_be_written_ends_the_run_with_the_reason(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)

        with pytest.raises(CannotGoOn, match=r"beach.png cannot be written .*: No space left on device\."):
            save_result(b"1", tmp_path, job_id=uuid4(), name="beach.png", suffix=".png")
