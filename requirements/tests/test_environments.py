"""Real environments with one tiny package, from a folder instead of an index."""

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from requirements.environments import STAMP, Environment, Level, installed_level, make_ready
from requirements.machine import SetUpError

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def make_wheel(folder: Path, name: str) -> str:
    """Write a wheel of one empty module; return its line for a lock."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{name}-1.0.dist-info/RECORD"] = record + f"{name}-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment that is not there yet."""
    wheels, locks = tmp_path / "wheels", tmp_path / "project/requirements"
    wheels.mkdir()
    locks.mkdir(parents=True)
    (locks / "site.lock").write_text(make_wheel(wheels, "small"))
    (locks / "dev.lock").write_text(make_wheel(wheels, "small") + make_wheel(wheels, "tool"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    levels = (Level("site", ("site.lock",), "the site"), Level("dev", ("dev.lock",), "its tests"))
    return Environment(tmp_path / "project", ".venv", levels)


def build(environment: Environment, level: str = "site") -> None:
    make_ready(environment, level, python=sys.executable, for_triton=False)


def can_import(environment: Environment, module: str) -> bool:
    return (
        subprocess.run([environment.python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    )


def was_built_anew(environment: Environment, level: str = "site") -> bool:
    """Build again; a file put into the environment before is gone when all of it was made again."""
    trace = environment.path / "trace"
    if environment.path.exists():
        trace.touch()
    build(environment, level)
    return not trace.exists()


class TestAnEnvironment:
    def test_holds_what_the_lock_says_and_is_left_alone_from_then_on(self, environment: Environment) -> None:
        build(environment)

        assert can_import(environment, "small")
        assert not can_import(environment, "tool")
        assert not was_built_anew(environment)

    def test_grows_to_a_higher_level_and_keeps_it(self, environment: Environment) -> None:
        build(environment)

        anew = was_built_anew(environment, "dev")
        back = was_built_anew(environment, "site")

        assert (anew, back) == (False, False)
        assert can_import(environment, "tool")

    def test_is_built_anew_when_its_lock_has_changed(self, environment: Environment) -> None:
        build(environment)
        shutil.copy(environment.root / "requirements/dev.lock", environment.root / "requirements/site.lock")

        assert was_built_anew(environment)
        assert can_import(environment, "tool")

    @pytest.mark.parametrize("left", [None, "", "{}", '{"level": "gone"}', "[]"])
    def test_is_not_trusted_when_it_was_interrupted(self, environment: Environment, left: str | None) -> None:
        environment.path.mkdir()
        if left is not None:
            (environment.path / STAMP).write_text(left)

        assert installed_level(environment, python=None) is None

    def test_is_repaired_when_it_was_interrupted(self, environment: Environment) -> None:
        build(environment)
        (environment.path / STAMP).unlink()
        (environment.path / "bin/pip").unlink()

        assert was_built_anew(environment)
        assert can_import(environment, "small")

    def test_is_trusted_only_where_it_was_built_and_for_what_it_was_built_with(
        self, environment: Environment, tmp_path: Path
    ) -> None:
        build(environment)
        (tmp_path / "moved").symlink_to(environment.root)
        moved = Environment(tmp_path / "moved", ".venv", environment.levels)

        trusted = [installed_level(environment, python=version) for version in (None, "3.10")]

        assert trusted == ["site", None]
        assert installed_level(moved, python=None) is None
        environment.python.unlink()
        assert installed_level(environment, python=None) is None


class TestAPackageThatIsNotTheLockedOne:
    def test_is_refused_and_leaves_nothing_that_looks_whole(self, environment: Environment) -> None:
        (environment.root / "requirements/site.lock").write_text(f"small==1.0 --hash=sha256:{'0' * 64}\n")

        with pytest.raises(SetUpError, match="HASHES"):
            build(environment)

        assert installed_level(environment, python=None) is None
