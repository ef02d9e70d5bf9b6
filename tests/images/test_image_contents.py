"""What is in the images, and what is not."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.images.build import REVISION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.build import Images

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(600)]

MOST_MEGABYTES = 350
EVERY_IMAGE = pytest.mark.parametrize("name", ["api", "worker"])
# Packages that only a model server, a test or an installer needs.
FOREIGN = ("torch", "numpy", "onnxruntime", "triton_models", "pytest", "playwright", "pip", "setuptools", "supervisor")
TOOLS = ("gcc", "cc", "g++", "make", "ld", "as", "pip", "git", "curl", "tritonserver")


@pytest.fixture(scope="module")
def roots(images: Images) -> Iterator[dict[str, Path]]:
    """The files of each image."""
    with images.buildah.mounted(images.api) as api, images.buildah.mounted(images.worker) as worker:
        yield {"api": api, "worker": worker}


@EVERY_IMAGE
class TestEachImage:
    def test_is_small(self, images: Images, name: str) -> None:
        assert images.buildah.megabytes(getattr(images, name)) < MOST_MEGABYTES

    def test_runs_as_nobody_in_particular(self, images: Images, name: str) -> None:
        assert images.buildah.describe(getattr(images, name))["config"]["User"] == "10001:10001"

    def test_says_what_it_is_and_of_which_commit_it_was_told(self, images: Images, name: str) -> None:
        labels = images.buildah.describe(getattr(images, name))["config"]["Labels"]

        assert labels["org.opencontainers.image.title"] == "Imagen"
        assert labels["org.opencontainers.image.revision"] == REVISION

    def test_is_the_clouds_where_nobody_says_otherwise(self, images: Images, name: str) -> None:
        assert "IMAGEN_PROFILE=gcp" in images.buildah.describe(getattr(images, name))["config"]["Env"]

    def test_has_no_compiler_and_nothing_that_fetches(self, roots: dict[str, Path], name: str) -> None:
        folders = ("bin", "usr/bin", "usr/local/bin", "opt/venv/bin")

        assert [tool for tool in TOOLS for folder in folders if (roots[name] / folder / tool).exists()] == []

    def test_has_no_model_server_and_no_tests(self, roots: dict[str, Path], name: str) -> None:
        (packages,) = (roots[name] / "opt/venv/lib").glob("python3*/site-packages")
        ours = roots[name] / "opt/imagen"

        assert [each for each in FOREIGN for folder in (packages, ours) if (folder / each).exists()] == []
        assert [str(path) for folder in (packages, ours) for path in folder.rglob("tests")] == []

    def test_has_the_bytecode_that_nothing_may_write_later(self, roots: dict[str, Path], name: str) -> None:
        sources = [path for path in (roots[name] / "opt/imagen").rglob("*.py") if "__pycache__" not in path.parts]

        compiled = [list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")) for path in sources]
        assert len(sources) > 100
        assert [str(path) for path, found in zip(sources, compiled, strict=True) if not found] == []

    def test_has_nothing_that_its_user_may_change(self, roots: dict[str, Path], name: str) -> None:
        command = ["find", str(roots[name]), "-xdev", "-type", "f", "(", "-user", "10001", "-o", "-perm", "/o+w", ")"]

        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""

    def test_keeps_no_secret_of_its_build(self, images: Images, roots: dict[str, Path], name: str) -> None:
        description = str(images.buildah.describe(getattr(images, name)))

        assert [secret for secret in images.secrets if secret in description] == []
        assert files_with(images.secrets, roots[name]) == []

    def test_keeps_no_key_of_its_own(self, roots: dict[str, Path], name: str) -> None:
        assert list((roots[name] / "opt").rglob("secret_key")) == []


class TestTheWorkersImage:
    def test_carries_no_static_files(self, roots: dict[str, Path]) -> None:
        assert (roots["api"] / "opt/imagen/var/static/staticfiles.json").exists()
        assert not (roots["worker"] / "opt/imagen/var").exists()


class TestTheSearchForSecrets:
    def test_finds_one(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/pip.conf").write_text("index-url = https://someone:secret@index.example/simple\n")

        assert files_with(["https://someone:secret@index.example"], tmp_path) == [f"{tmp_path}/etc/pip.conf"]


def files_with(words: tuple[str, ...] | list[str], root: Path) -> list[str]:
    """Return the files that contain one of the words."""
    patterns = [option for word in words for option in ("-e", word)]
    command = ["grep", "--recursive", "--files-with-matches", "--fixed-strings", "--devices=skip", *patterns, str(root)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    # 1: in none of them.
    assert found.returncode in {0, 1}, found.stderr
    return found.stdout.splitlines()
