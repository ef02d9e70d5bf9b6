from __future__ import annotations

import hashlib
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from triton_models import weights
from triton_models.errors import EngineUnavailable, WeightsNotFetched
from triton_models.weights import LockedFile, LockedWeights
from triton_models.weights.lock import Wheel
from triton_models.weights.volume import sha256_of

MEMBER, CONTENT = "small_net/net.bin", b"numbers"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one folder and no network: what pip reads from a user's own settings."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def locked(index: Path) -> LockedWeights:
    """The weights of a small engine, in a wheel on the index."""
    wheel = index / "small_net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
        archive.writestr("small_net/__init__.py", "raise SystemExit('a wheel was run')")
        archive.writestr("small_net-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-net\nVersion: 1.0\n")
        archive.writestr("small_net-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return LockedWeights(
        name="small",
        licence="MIT",
        weights="net.bin",
        source=Wheel("small-net", "1.0", wheel.name, sha256(wheel.read_bytes())),
        files=(LockedFile("net.bin", sha256(CONTENT), member=MEMBER),),
    )


def from_wheel(locked: LockedWeights, **changed: str) -> LockedWeights:
    return replace(locked, source=replace(cast("Wheel", locked.source), **changed))


def fetch(locked: LockedWeights, volume: Path) -> list[str]:
    said: list[str] = []
    weights.fetch([locked], volume, say=said.append)
    return said


class TestFetch:
    def test_puts_the_named_members_on_the_volume_and_nothing_else(self, locked: LockedWeights, tmp_path: Path) -> None:
        volume = tmp_path / "models"

        said = fetch(locked, volume)

        found = [path.relative_to(volume).as_posix() for path in volume.rglob("*") if path.is_file()]
        assert found == ["small/net.bin"]
        assert (volume / "small/net.bin").read_bytes() == CONTENT
        assert "downloading small-net 1.0 (MIT)" in said[0]

    def test_leaves_alone_what_is_there_and_right(self, locked: LockedWeights, index: Path, tmp_path: Path) -> None:
        volume = tmp_path / "models"
        fetch(locked, volume)
        next(index.glob("*.whl")).unlink()

        assert fetch(locked, volume) == ["small: already there."]

    def test_replaces_a_file_that_was_damaged(self, locked: LockedWeights, tmp_path: Path) -> None:
        volume = tmp_path / "models"
        fetch(locked, volume)
        (volume / "small/net.bin").write_bytes(b"numb")

        fetch(locked, volume)

        assert (volume / "small/net.bin").read_bytes() == CONTENT

    def test_refuses_a_wheel_with_another_sha256(self, locked: LockedWeights, tmp_path: Path) -> None:
        with pytest.raises(WeightsNotFetched, match=r"small_net-1\.0-py3-none-any\.whl has the wrong sha256"):
            fetch(from_wheel(locked, wheel_sha256=sha256(b"another")), tmp_path)

        assert not list(tmp_path.rglob("net.bin"))

    def test_refuses_a_member_with_another_sha256(self, locked: LockedWeights, tmp_path: Path) -> None:
        other = LockedFile("net.bin", sha256(b"another"), member=MEMBER)

        with pytest.raises(WeightsNotFetched, match=r"net\.bin has the wrong sha256"):
            fetch(replace(locked, files=(other,)), tmp_path / "models")

        assert not list((tmp_path / "models").rglob("net.bin"))

    def test_says_which_member_a_wheel_lacks(self, locked: LockedWeights, tmp_path: Path) -> None:
        missing = LockedFile("net.param", sha256(CONTENT), member="small_net/net.param")

        with pytest.raises(WeightsNotFetched, match=r"does not hold small_net/net\.param"):
            fetch(replace(locked, files=(missing,)), tmp_path / "models")

    def test_says_so_when_the_index_has_no_such_package(self, locked: LockedWeights, tmp_path: Path) -> None:
        with pytest.raises(WeightsNotFetched, match=r"no-such-net 1\.0 could not be downloaded: .*reachable"):
            fetch(from_wheel(locked, package="no-such-net"), tmp_path / "models")

    def test_says_so_when_the_volume_cannot_be_written(self, locked: LockedWeights, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file where a folder should be")

        with pytest.raises(WeightsNotFetched, match="could not be written"):
            fetch(locked, tmp_path / "models")


class TestVerifiedFolder:
    def test_names_the_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"u2netp/u2netp\.onnx is missing: run `.*python -m triton_models"):
            weights.verified_folder("u2netp", tmp_path)

    def test_refuses_weights_that_are_not_the_locked_ones(self, tmp_path: Path) -> None:
        (tmp_path / "u2netp").mkdir()
        (tmp_path / "u2netp/u2netp.onnx").write_bytes(b"something else")

        with pytest.raises(EngineUnavailable, match=r"u2netp\.onnx is not the file that weights\.lock names"):
            weights.verified_folder("u2netp", tmp_path)

    def test_accepts_what_fetch_has_put_there(self, volume: Path) -> None:
        folder, locked = weights.verified_folder("u2netp", volume)

        assert sha256((folder / locked.weights).read_bytes()) == locked.weights_sha256


class TestAFileOnTheVolume:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        """A file that nobody has written to for a while."""
        path = tmp_path / "net.bin"
        path.write_bytes(CONTENT)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return path

    def test_is_read_once_however_often_it_is_asked_about(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = sha256_of(old)
        monkeypatch.setattr(hashlib, "file_digest", None)

        assert sha256_of(old) == first == sha256(CONTENT)

    def test_is_read_again_when_it_was_swapped(self, old: Path) -> None:
        sha256_of(old)
        old.write_bytes(CONTENT[::-1])

        assert sha256_of(old) == sha256(CONTENT[::-1])

    def test_is_read_again_when_it_was_written_just_now(self, tmp_path: Path) -> None:
        path = tmp_path / "net.bin"
        for content in (CONTENT, CONTENT[::-1]):
            path.write_bytes(content)
            os.utime(path, (time.time(), time.time()))
            assert sha256_of(path) == sha256(content)


class TestModelVolume:
    def test_is_named_by_the_environment(self) -> None:
        assert weights.model_volume({"IMAGEN_MODELS_DIR": "models-here"}) == Path("models-here")

    def test_lies_in_the_project_otherwise(self) -> None:
        project = Path(weights.__file__).parents[2]

        assert weights.model_volume({}) == project / ".cache" / "models"
