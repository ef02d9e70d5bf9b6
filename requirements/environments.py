"""
Builds the environments from the locks beside this file, and fetches what the model server needs.

`python3 -m requirements.environments site models-light model-server` makes ready for `make run`. What is whole stays
as it is; what is outdated, moved or half-finished is built anew.

Only the standard library of Python 3.8 or newer, since it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from requirements import machine, test_programs
from requirements.machine import SetUpError
from requirements.steps import run_step, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
MODEL_SERVER = "model-server"
TEST_PROGRAMS = "test-programs"
DEPLOYMENT_PROGRAMS = "deployment-programs"
# Written last: an environment without it was interrupted.
STAMP = "whole.json"


@dataclass(frozen=True)
class Level:
    """What an environment holds at one level. Every level contains the ones before it."""

    name: str
    locks: tuple[str, ...]
    about: str
    # Not in the lock: it would name a build of the machine that made the lock.
    loose: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `root` / `folder` and the levels it can have, smallest first."""

    root: Path
    folder: str
    levels: tuple[Level, ...]

    @property
    def path(self) -> Path:
        return self.root / self.folder

    @property
    def python(self) -> Path:
        return self.path / "bin/python"

    def up_to(self, name: str) -> tuple[Level, ...]:
        """Return the level of this name and all below it."""
        return self.levels[: 1 + [level.name for level in self.levels].index(name)]

    def digest(self, name: str) -> str:
        """Return what identifies the content of a level: its own requirements and those of the levels below."""
        files = [file for level in self.up_to(name) for file in level.locks + level.loose]
        content = b"".join((self.root / "requirements" / file).read_bytes() for file in files)
        return hashlib.sha256(content).hexdigest()


def environments(root: Path = ROOT) -> tuple[Environment, Environment, Environment]:
    """Return the site's environment, the model server's, and that of the tools which check the deployment."""
    site = (
        Level("site", ("site.lock",), "the site, half a minute"),
        Level("dev", ("dev.lock",), "the site with tools and tests, a minute"),
    )
    models = (
        Level("models-light", ("models-light.lock",), "the model server, a quarter of a minute"),
        Level("models-dev", ("models-dev.lock",), "the model server with its tests, half a minute"),
        Level("models-full", ("models-full.lock",), "the full models, 1.7 GB or more, some minutes", ("torch.txt",)),
    )
    # By themselves: some of them want libraries that the site cannot have (an older protobuf).
    deployment = (Level("deployment", ("deployment.lock",), "what checks manifests and Terraform, two minutes"),)
    return (
        Environment(root, ".venv", site),
        Environment(root, ".venv-models", models),
        Environment(root, ".venv-deployment", deployment),
    )


def installed_level(environment: Environment, *, python: str | None) -> str | None:
    """
    Return the level that is installed and up to date; None when the environment must be built anew.

    python: the version it must have, any supported one when None.
    """
    try:
        stamp = json.loads((environment.path / STAMP).read_text())
        version = subprocess.check_output(
            [str(environment.python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            env=machine.clean_environment(),
            stderr=subprocess.DEVNULL,
        )
        level = str(stamp["level"])
        # The path, because its programs name their interpreter by it: a moved checkout has broken ones.
        wanted = {"level": level, "digest": environment.digest(level), "path": str(environment.path)}
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError):
        return None
    whole = {**wanted, "python": python or version.decode().strip()}
    return level if stamp == whole and stamp["python"] == version.decode().strip() else None


def make_ready(environment: Environment, name: str, *, python: str | None, for_triton: bool) -> None:
    """
    Bring the environment to at least the named level.

    python: the command of the interpreter to build with. Raises SetUpError.
    """
    chosen = machine.choose_python(python, for_triton=for_triton) if python else None
    present = installed_level(environment, python=chosen.name if chosen else None)
    if present is not None and environment.up_to(name)[-1] in environment.up_to(present):
        return
    if present is None:
        chosen = chosen or machine.choose_python(None, for_triton=for_triton)
        _create(environment, chosen)
    else:
        # From here until the end an interruption leaves something that only looks whole.
        (environment.path / STAMP).unlink()
    level = environment.up_to(name)[-1]
    _install(environment, level)
    _stamp(environment, level)


def _create(environment: Environment, python: machine.Python) -> None:
    if environment.path.exists():
        say(environment.folder, "is outdated or was interrupted: building it anew")
        shutil.rmtree(str(environment.path))
    say(environment.folder, f"creating with Python {python.name} ({python.path})")
    run_step(environment.folder, [python.path, "-m", "venv", str(environment.path)], log=_log(environment))


def _install(environment: Environment, level: Level) -> None:
    pip = [str(environment.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    pip += ["--progress-bar=off", "--no-color"]
    locks = [environment.root / "requirements" / file for file in level.locks]
    packages = sum(line.count("==") for lock in locks for line in lock.read_text().splitlines() if line[:1].isalnum())
    say(environment.folder, f"installing {packages} packages for {level.about}")
    for lock in locks:
        # Without looking for dependencies: the lock names all of them.
        command = [*pip, "--require-hashes", "--no-deps", "-r", str(lock)]
        run_step(environment.folder, command, log=_log(environment), packages=packages)
    for file in level.loose:
        run_step(environment.folder, [*pip, "-r", str(environment.root / "requirements" / file)], log=_log(environment))


def _stamp(environment: Environment, level: Level) -> None:
    version = subprocess.check_output(
        [str(environment.python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    )
    stamp = {
        "level": level.name,
        "digest": environment.digest(level.name),
        "path": str(environment.path),
        "python": version.decode().strip(),
    }
    unfinished = environment.path / f".{STAMP}"
    unfinished.write_text(json.dumps(stamp))
    unfinished.replace(environment.path / STAMP)
    say(environment.folder, "ready")


def fetch_model_server(models: Environment) -> None:
    """Download and unpack Triton and the light engines' weights, unless they are there. Raises SetUpError."""
    python, log = str(models.python), _log(models)
    run_step("model server", [python, "-m", "triton_models.server_wheel"], log=log, cwd=models.root, show=True)
    run_step("weights", [python, "-m", "triton_models", "fetch"], log=log, cwd=models.root, show=True)


def _log(environment: Environment) -> Path:
    return environment.root / ".cache" / f"set-up{environment.folder}.log"


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one set-up run at a time: two would build in the same folders."""
    (root / ".cache").mkdir(exist_ok=True)
    with (root / ".cache/set-up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("set-up", "another one is running here; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # A pip that outlives us (we were killed) keeps the lock until it has stopped writing.
        os.set_inheritable(lock.fileno(), True)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m requirements.environments", description=__doc__)
    known = [level.name for each in environments() for level in each.levels]
    known += [MODEL_SERVER, TEST_PROGRAMS, DEPLOYMENT_PROGRAMS]
    parser.add_argument("parts", nargs="+", choices=known, metavar="PART", help=", ".join(known))
    parser.add_argument("--python", default=None, help="the interpreter to build with (default: one of the PATH)")
    asked = parser.parse_args(arguments)
    try:
        set_up(asked.parts, python=asked.python)
    except SetUpError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; the next start repairs what is half-finished.\n")
        return 130
    return 0


def set_up(parts: Sequence[str], *, python: str | None) -> None:
    """Make the named parts ready, the environments side by side. Raises SetUpError, the first of several."""
    site, models, deployment = environments()
    for_triton = MODEL_SERVER in parts
    if for_triton:
        machine.check_for_triton()

    def build(environment: Environment) -> None:
        for level in environment.levels:
            if level.name in parts:
                make_ready(environment, level.name, python=python, for_triton=for_triton)
        if environment is models and for_triton:
            fetch_model_server(models)

    began = time.monotonic()
    with _alone(site.root), ThreadPoolExecutor(3) as pool:
        for lane in [pool.submit(build, environment) for environment in (site, models, deployment)]:
            lane.result()
    for part, programs in ((TEST_PROGRAMS, test_programs.PROGRAMS), (DEPLOYMENT_PROGRAMS, test_programs.DEPLOYMENT)):
        if part in parts:
            test_programs.install(programs, site.root / f".cache/set-up-{part}.log")
    if time.monotonic() - began > 5:
        say("set-up", f"done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
