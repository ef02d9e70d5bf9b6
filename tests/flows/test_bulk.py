"""Bulk work by real commands: broken off in every way, and through the whole site to files that one can look at."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageStat
from skimage import data

from tests.running_site import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running_site import RunningSite

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]
PHOTOS = {"astronaut": data.astronaut, "coffee": data.coffee, "cat": data.chelsea}
DEMO = "demo@imagen.local"


def save(path: Path, name: str, side: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PHOTOS[name]()).resize((side, side * 3 // 4)).save(path)


class Shell:
    """A site without any process: only its data, and commands on them."""

    def __init__(self, var_dir: Path) -> None:
        self._var_dir = var_dir
        self._environment = {**os.environ, "IMAGEN_VAR_DIR": str(var_dir)}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.begin(*arguments)
        out, error = process.communicate(timeout=90)
        assert process.returncode == 0, error
        return out

    def count(self, table: str, where: str = "1") -> int:
        with closing(sqlite3.connect(self._var_dir / "imagen.sqlite3", timeout=20)) as database:
            return int(database.execute(f"SELECT COUNT(*) FROM {table} WHERE {where}").fetchone()[0])  # noqa: S608


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(tmp_path_factory.mktemp("bulk") / "var")
    shell.run("migrate", "-v0")
    shell.run("create_demo")
    return shell


@pytest.mark.xdist_group("bulk")
class TestAnImportThatIsBrokenOff:
    FILES = 12

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
    def test_makes_and_charges_each_photo_once_when_it_is_repeated(
        self, shell: Shell, tmp_path: Path, number: int, code: int
    ) -> None:
        for file in range(self.FILES):
            save(tmp_path / f"{file:02}.png", "coffee", 64 + file)
        command = ("import_folder", str(tmp_path), "--account", DEMO, "--operation", "enhance", "--max-queued", "9999")
        before, held = shell.count("jobs_job"), shell.count("billing_ledgerentry", "kind = 'hold'")

        process = shell.begin(*command, "--rate", "5/s")
        wait_until(lambda: shell.count("jobs_job") > before + 2, seconds=60, what="the third job")
        process.send_signal(number)
        out, error = process.communicate(timeout=20)
        made = shell.count("jobs_job") - before
        told = json.loads(shell.run(*command, "--json"))

        assert process.returncode == code
        assert 3 <= made < self.FILES
        assert (told["made_before"], told["made"]) == (made, self.FILES - made)
        assert shell.count("jobs_job") - before == self.FILES
        assert shell.count("billing_ledgerentry", "kind = 'hold'") - held == self.FILES
        if number == signal.SIGINT:
            assert f"Made {made} jobs" in out
            assert "Stopped as asked." in out
            assert f"To go on: manage.py import_folder {tmp_path}" in error


@pytest.mark.triton
@pytest.mark.xdist_group("triton")
class TestAFolderOfPhotos:
    def test_comes_back_made_better_and_is_then_made_into_something_else(
        self, site: RunningSite, tmp_path: Path
    ) -> None:
        photos, results, comics = tmp_path / "photos", tmp_path / "results", tmp_path / "comics"
        save(photos / "bulk-astronaut.jpg", "astronaut", 128)
        save(photos / "trip" / "bulk-cat.png", "cat", 160)
        save(photos / "trip" / "bulk-coffee.webp", "coffee", 96)
        (photos / "notes.txt").write_text("Buy milk.")

        imported = tell(
            site,
            *("import_folder", str(photos), "--account", site.email, "--operation", "upscale", "--set", "scale=2"),
            *("--output-dir", str(results)),
        )
        sources = {job["job_id"]: job for job in jobs_named_bulk(site)}
        redone = tell(site, "reprocess", *sources, "--operation-to", "style_comic", "--free", "--wait")
        children = [job for job in jobs_named_bulk(site) if job["parent"]]
        for job in children:
            comics.mkdir(exist_ok=True)
            (comics / job["output"]["filename"]).write_bytes(site.download(job["output"]["url"]))

        assert (imported["made"], imported["completed"], imported["skipped"]) == (3, 3, {"not_an_image": 1})
        assert sizes_in(results) == {
            "bulk-astronaut.jpg": (256, 192),
            "trip/bulk-cat.png": (320, 240),
            "trip/bulk-coffee.webp": (192, 144),
        }
        assert imported["charged"] == sum(job["credits"] for job in sources.values())
        assert (redone["made"], redone["completed"], redone["charged"]) == (3, 3, 0)
        assert {job["parent"] for job in children} == set(sources)
        assert all(is_picture(path) for folder in (results, comics) for path in folder.rglob("*.*"))


def tell(site: RunningSite, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(site.manage(*arguments, "--json")))


def jobs_named_bulk(site: RunningSite) -> list[dict[str, Any]]:
    status, page = site.call("GET", "/api/v1/jobs")
    assert status == 200, page
    jobs = page["results"] if "results" in page else page["jobs"]
    return [job for job in jobs if job["input"]["filename"].startswith("bulk-")]


def sizes_in(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): opened(path).size for path in files}


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def is_picture(path: Path) -> bool:
    """Tell a picture with something on it from an empty one."""
    return max(ImageStat.Stat(opened(path).convert("L")).stddev) > 20
