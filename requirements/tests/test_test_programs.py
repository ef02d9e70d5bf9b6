from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from requirements import test_programs
from requirements.test_programs import PROGRAMS, install

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The steps that were run, on a machine of root's with apt-get and no program."""
    steps: list[list[str]] = []
    monkeypatch.setattr(test_programs.TestProgram, "there", property(lambda _self: False))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(test_programs, "run_step", lambda _name, command, **_options: steps.append(command))
    return steps


class TestInstalling:
    def test_asks_apt_only_for_packages_that_it_knows(
        self, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(test_programs, "_is_known", lambda package: not package.startswith("google-"))

        install(PROGRAMS, tmp_path / "log")

        assert ran[-1][-3:] == ["chromium", "postgresql", "default-jre-headless"]
        said = "".join(capsys.readouterr())
        assert all(f"apt install {program.package}" in said for program in PROGRAMS)

    def test_asks_for_nothing_where_nothing_can_be_had(
        self, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(test_programs, "_is_known", lambda _package: False)

        install(PROGRAMS, tmp_path / "log")

        assert ran == [["apt-get", "update", "-q"]]
