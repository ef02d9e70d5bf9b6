"""
The programs that tests drive beside Python: installed where that is possible, else their tests are skipped.

Only the standard library of Python 3.8 or newer, since it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from requirements.machine import SetUpError
from requirements.steps import run_step, say


@dataclass(frozen=True)
class TestProgram:
    """A program, where it may lie (a pattern from the root), and Debian's package of it."""

    package: str
    commands: tuple[str, ...]
    paths: str = ""
    used_for: str = ""

    @property
    def there(self) -> bool:
        return any(map(shutil.which, self.commands)) or any(Path("/").glob(self.paths) if self.paths else ())


PROGRAMS = (
    TestProgram("chromium", ("chromium", "chromium-browser", "google-chrome"), used_for="browser tests"),
    TestProgram("postgresql", ("initdb",), "usr/lib/postgresql/*/bin/initdb", used_for="tests on PostgreSQL"),
)


def install(log: Path) -> None:
    """Install what is missing by apt-get where we may; say what will be skipped otherwise."""
    missing = [program for program in PROGRAMS if not program.there]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt_get([program.package for program in missing], log)
    for program in PROGRAMS:
        if not program.there:
            say(
                "tests",
                f"{program.package} is missing, so {program.used_for} are skipped (apt install {program.package})",
            )


def _apt_get(packages: list[str], log: Path) -> None:
    names = " and ".join(packages)
    say("tests", f"installing {names} by apt-get, some minutes the first time")
    try:
        run_step("tests", ["apt-get", "update", "-q"], log=log)
        run_step("tests", ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], log=log)
    except SetUpError as error:
        say("tests", str(error))
