"""
The programs that tests drive beside Python: installed where that is possible, else their tests are skipped.

Only the standard library of Python 3.8 or newer, since it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from requirements.machine import SetUpError
from requirements.steps import run_step, say

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class TestProgram:
    """A program, where it may lie (a pattern from the root), and the apt package of it."""

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
    TestProgram("default-jre-headless", ("java",), used_for="tests on Google's emulators"),
    # In Google's own apt repository; where apt does not know it, its packages are not asked for.
    TestProgram(
        "google-cloud-cli-firestore-emulator",
        (),
        "usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/*.jar",
        used_for="tests on Google's Firestore emulator",
    ),
    TestProgram(
        "google-cloud-cli-pubsub-emulator",
        (),
        "usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/*.jar",
        used_for="tests on Google's Pub/Sub emulator",
    ),
)

# What checks the deployment. kubectl and terraform come from the apt repositories of their makers.
DEPLOYMENT = (
    TestProgram("kubectl", ("kubectl",), used_for="checks of the manifests"),
    TestProgram("terraform", ("terraform",), used_for="checks of Terraform"),
    TestProgram("prometheus", ("promtool",), used_for="checks of the alerts"),
    TestProgram("buildah", ("buildah",), used_for="tests of the images"),
    TestProgram("crun", ("crun",), used_for="tests of the images"),
    TestProgram("debootstrap", ("debootstrap",), "usr/sbin/debootstrap", used_for="tests of the images"),
)


def install(programs: Sequence[TestProgram], log: Path) -> None:
    """Install what is missing by apt-get where we may; say what will be skipped otherwise."""
    missing = [program for program in programs if not program.there]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _apt_get([program.package for program in missing], log)
    for program in programs:
        if not program.there:
            say(
                "tests",
                f"{program.package} is missing, so {program.used_for} are skipped (apt install {program.package})",
            )


def _apt_get(packages: list[str], log: Path) -> None:
    try:
        run_step("tests", ["apt-get", "update", "-q"], log=log)
        known = [package for package in packages if _is_known(package)]
        if known:
            say("tests", f"installing {', '.join(known)} by apt-get, some minutes the first time")
            run_step("tests", ["apt-get", "install", "-y", "-q", "--no-install-recommends", *known], log=log)
    except SetUpError as error:
        say("tests", str(error))


def _is_known(package: str) -> bool:
    # One that apt does not know would keep it from installing any other.
    return not subprocess.run(
        ["apt-cache", "show", package], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode
