from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from triton_models import weights
from triton_models.engines import OPERATIONS
from triton_models.errors import EngineUnavailable
from triton_models.weights.lock import LOCK, Release, Repository, Wheel

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENTRY = """
[tiny]
licence = "MIT"
weights = "net.safetensors"
source.repository = "somebody/tiny"
source.revision = "{commit}"
files = [{{ path = "{path}", bytes = {bytes}, sha256 = "{sha256}" }}]
"""


def lock_file(
    folder: Path, *, commit: str = COMMIT, path: str = "net.safetensors", content: bytes = b"numbers", sha256: str = "?"
) -> Path:
    digest = hashlib.sha256(content).hexdigest() if sha256 == "?" else sha256
    text = ENTRY.format(commit=commit, path=path, bytes=len(content), sha256=digest)
    file = folder / "tiny.lock"
    file.write_text(text, "utf-8")
    return file


class TestTheLock:
    def test_pins_every_weight_of_the_light_engines(self) -> None:
        lock = weights.read_lock()

        assert all(lock[entry].pinned for row in OPERATIONS.values() for entry in row.light.weights)

    def test_has_every_entry_that_an_engine_asks_for(self) -> None:
        asked = {
            entry for row in OPERATIONS.values() for spec in row.engines for entry in (*spec.weights, *spec.or_weights)
        }

        assert asked <= set(weights.read_lock())

    def test_knows_wheels_repositories_and_releases(self) -> None:
        lock = weights.read_lock()

        assert isinstance(lock["u2netp"].source, Wheel)
        assert isinstance(lock["realesrgan-x4plus"].source, Release)
        assert isinstance(lock["stable-diffusion-2-1"].source, Repository)

    def test_says_where_every_licence_can_be_read(self) -> None:
        assert all(
            entry.licence and entry.licence_url.startswith("https://") for entry in weights.read_lock(LOCK).values()
        )

    def test_asks_for_a_yes_to_the_licence_that_forbids_business(self) -> None:
        assert {name for name, entry in weights.read_lock().items() if entry.acceptance} == {"rmbg-1.4"}


class TestAnEntry:
    def test_is_pinned_when_the_commit_and_every_sha256_are_known(self, tmp_path: Path) -> None:
        assert weights.read_lock(lock_file(tmp_path))["tiny"].pinned
        assert not weights.read_lock(lock_file(tmp_path, commit="main"))["tiny"].pinned
        assert not weights.read_lock(lock_file(tmp_path, sha256=""))["tiny"].pinned

    @pytest.mark.parametrize("path", ["../net.safetensors", "/etc/net.safetensors"])
    def test_has_no_file_outside_its_folder(self, path: str, tmp_path: Path) -> None:
        lock = lock_file(tmp_path, path=path)
        lock.write_text(lock.read_text().replace('weights = "net.safetensors"', f'weights = "{path}"'))

        with pytest.raises(EngineUnavailable, match="outside its folder"):
            weights.read_lock(lock)

    @pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt", ".pkl"])
    def test_of_a_repository_has_no_pickle(self, suffix: str, tmp_path: Path) -> None:
        lock = lock_file(tmp_path)
        lock.write_text(lock.read_text().replace(".safetensors", suffix))

        with pytest.raises(EngineUnavailable, match=r"only \.json, \.md, \.onnx, \.safetensors, \.txt are taken"):
            weights.read_lock(lock)

    def test_with_a_missing_key_is_named(self, tmp_path: Path) -> None:
        lock = lock_file(tmp_path)
        lock.write_text(lock.read_text().replace('licence = "MIT"\n', ""))

        with pytest.raises(EngineUnavailable, match=r"The entry tiny of .*tiny\.lock is not of the lock's form"):
            weights.read_lock(lock)


class TestAnotherLock:
    def test_is_laid_over_ours(self, tmp_path: Path) -> None:
        lock = weights.read_lock(environment={"IMAGEN_WEIGHTS_LOCK": str(lock_file(tmp_path))})

        assert lock["tiny"].lock == tmp_path / "tiny.lock"
        assert lock["u2netp"].lock == LOCK

    def test_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"nowhere\.lock cannot be read as a lock of weights"):
            weights.read_lock(environment={"IMAGEN_WEIGHTS_LOCK": str(tmp_path / "nowhere.lock")})

    def test_serves_private_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(lock_file(tmp_path)))
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny/net.safetensors").write_bytes(b"numbers")

        folder, locked = weights.verified_folder("tiny", tmp_path)

        assert (folder, locked.licence) == (tmp_path / "tiny", "MIT")


class TestAnUnpinnedEntry:
    def test_is_of_no_use_and_names_the_command_that_pins_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(lock_file(tmp_path, sha256="")))
        (tmp_path / "tiny").mkdir()
        (tmp_path / "tiny/net.safetensors").write_bytes(b"numbers")

        with pytest.raises(EngineUnavailable, match="python -m triton_models lock --engine tiny`"):
            weights.verified_folder("tiny", tmp_path)
