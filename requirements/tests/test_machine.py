import json
import platform
import sys
from pathlib import Path

import pytest

from requirements import machine
from requirements.machine import SetUpError, choose_python


class Programs:
    """A PATH with interpreters that only answer about themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def has(self, name: str, version: str, **lacks: bool) -> str:
        path = self.folder / name
        facts = {"path": str(path), "version": [int(part) for part in version.split(".")]}
        answer = json.dumps({**facts, "has_venv": True, "has_libpython": True, **lacks})
        return self.runs(name, f"echo '{answer}'")

    def runs(self, name: str, script: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Programs(tmp_path / "bin")


class TestTheChoiceOfAPython:
    @pytest.mark.parametrize("version", ["3.11", "3.12"])
    def test_takes_a_supported_one(self, path: Programs, version: str) -> None:
        path.has("python3", version)

        assert choose_python(None, for_triton=True).name == version

    def test_prefers_a_named_version_to_the_default_one(self, path: Programs) -> None:
        path.has("python3", "3.9")
        path.has("python3.12", "3.12")

        assert choose_python(None, for_triton=True).name == "3.12"

    def test_passes_over_a_name_with_nothing_behind_it(self, path: Programs) -> None:
        path.runs("python3.11", "exit 127")
        path.has("python3", "3.11")

        assert choose_python(None, for_triton=True).path.endswith("/python3")

    def test_passes_over_one_that_lacks_a_part(self, path: Programs) -> None:
        path.has("python3.11", "3.11", has_libpython=False)
        path.has("python3.12", "3.12")

        assert choose_python(None, for_triton=True).name == "3.12"

    def test_refuses_other_versions_and_tells_which_it_found(self, path: Programs) -> None:
        path.has("python3", "3.13")

        with pytest.raises(SetUpError, match=r"needs Python 3\.11 or 3\.12; found on the PATH: 3\.13.*PYTHON="):
            choose_python(None, for_triton=True)

    def test_says_so_when_there_is_none(self, path: Programs) -> None:
        with pytest.raises(SetUpError, match="found on the PATH: none"):
            choose_python(None, for_triton=True)

    def test_takes_the_one_that_the_user_names(self, path: Programs) -> None:
        path.has("python3.11", "3.11")
        mine = path.has("mine", "3.12")

        assert choose_python(mine, for_triton=True).path == mine

    def test_refuses_the_one_that_the_user_names_when_it_does_not_fit(self, path: Programs) -> None:
        path.has("python3.11", "3.11")
        mine = path.has("mine", "3.9")

        with pytest.raises(SetUpError, match=r"PYTHON=.*mine is Python 3\.9"):
            choose_python(mine, for_triton=True)

    def test_names_the_package_that_lacks_for_environments(self, path: Programs) -> None:
        path.has("python3", "3.11", has_venv=False)

        with pytest.raises(SetUpError, match=r"apt install python3\.11-venv"):
            choose_python(None, for_triton=False)

    def test_names_the_package_that_lacks_for_triton(self, path: Programs) -> None:
        path.has("python3", "3.12", has_libpython=False)

        with pytest.raises(SetUpError, match=r"apt install libpython3\.12.*TRITON_URL"):
            choose_python(None, for_triton=True)

    def test_needs_no_shared_library_without_triton(self, path: Programs) -> None:
        path.has("python3", "3.12", has_libpython=False)

        assert choose_python(None, for_triton=False).name == "3.12"


class TestThisInterpreter:
    def test_answers_about_itself(self) -> None:
        python = machine.probe(sys.executable)

        assert python is not None
        assert python.version == sys.version_info[:2]
        assert python.has_venv


class TestAMachineThatTritonCannotRunOn:
    def test_is_told_when_the_processor_is_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")

        with pytest.raises(SetUpError, match=r"x86-64 Linux only.*aarch64.*TRITON_URL"):
            machine.check_for_triton()

    @pytest.mark.parametrize(("library", "version"), [("glibc", "2.31"), ("", ""), ("musl", "1.2")])
    def test_is_told_when_its_c_library_is_older(
        self, monkeypatch: pytest.MonkeyPatch, library: str, version: str
    ) -> None:
        monkeypatch.setattr(platform, "libc_ver", lambda: (library, version))

        with pytest.raises(SetUpError, match=r"glibc 2\.35 or newer.*TRITON_URL"):
            machine.check_for_triton()

    @pytest.mark.parametrize("version", ["2.35", "2.36", "2.41", "3.0"])
    def test_is_not_one_with_a_new_enough_c_library(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", version))
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")

        machine.check_for_triton()
