"""The README's examples, as somebody pastes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from skimage import data

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running_site import RunningSite

pytestmark = [pytest.mark.triton, pytest.mark.processes, pytest.mark.xdist_group("triton")]
README = (ROOT / "README.md").read_text()


def example(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture
def checkout(tmp_path: Path, site: RunningSite) -> Path:
    """A folder with what the examples read: var/demo.json and a photo."""
    (tmp_path / "var").mkdir()
    demo = {"url": site.url, "email": site.email, "password": site.password, "api_key": site.api_key}
    (tmp_path / "var/demo.json").write_text(json.dumps(demo))
    Image.fromarray(data.coffee()).resize((150, 100)).save(tmp_path / "photo.jpg")
    return tmp_path


class TestTheReadme:
    def test_upscales_with_curl(self, checkout: Path) -> None:
        done = subprocess.run(
            ["bash", "-euc", example("bash")], cwd=checkout, capture_output=True, text=True, check=False, timeout=90
        )

        assert done.returncode == 0, done.stderr
        with Image.open(checkout / "result.jpg") as result:
            assert result.size == (600, 400)
            assert result.format == "JPEG"

    def test_sends_a_photo_directly_with_curl(self, checkout: Path) -> None:
        done = subprocess.run(
            ["bash", "-euc", example("sh")], cwd=checkout, capture_output=True, text=True, check=False, timeout=90
        )

        assert done.returncode == 0, done.stderr
        job = json.loads((checkout / "job.json").read_text())
        assert (job["status"], job["input"]["width"], job["params"]["strength"]) == ("queued", 150, 0.5)

    def test_removes_a_background_with_python(self, checkout: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", example("python")],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("u2netp ")
        with Image.open(checkout / "cut-out.png") as result:
            assert result.mode == "RGBA"

    def test_has_two_commands_that_the_makefile_knows(self) -> None:
        commands = re.findall(r"^```\n(make \w+)\n```$", README, flags=re.MULTILINE)
        targets = (ROOT / "Makefile").read_text()

        assert commands == ["make run", "make test"]
        assert all(f"\n{command.split()[1]}:" in targets for command in commands)

    def test_names_only_files_that_exist(self) -> None:
        named = re.findall(r"`((?:[\w-]+/)+[\w.*-]*\w|[\w-]+\.(?:py|md))`", README)

        missing = [path for path in named if not list(ROOT.glob(path)) and not path.startswith(("var/", "api/"))]

        assert missing == []
