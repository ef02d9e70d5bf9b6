"""
Runs one long step of the set-up: its output to a log, its progress to the person who waits.

Only the standard library of Python 3.8 or newer, since it runs before anything is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from requirements import machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SAY_EVERY_SECONDS = 5
# An index may be a private one, its address with a password in it.
_ADDRESS = re.compile(r"\b(?:https?|file)://\S+")


def say(who: str, what: str) -> None:
    sys.stderr.write(f"[{who}] {what}\n")
    sys.stderr.flush()


def run_step(
    who: str,
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    packages: int = 0,
    show: bool = False,
) -> None:
    """
    Run a command to its end.

    packages: how many pip is to collect, for the progress. show: whether the command's own lines are shown.
    Raises machine.SetUpError with the command's last words when it fails.
    """
    step = _Step(who, packages=packages, show=show)
    log.parent.mkdir(exist_ok=True)
    with subprocess.Popen(
        command,
        cwd=cwd and str(cwd),
        env=machine.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # For the lock of the set-up, which the command must hold as long as it writes.
        close_fds=False,
    ) as process:
        reader = threading.Thread(target=step.read, args=(process, log))
        reader.start()
        while process.poll() is None:
            try:
                process.wait(timeout=SAY_EVERY_SECONDS)
            except subprocess.TimeoutExpired:
                step.tell()
        reader.join()
    if process.returncode:
        raise machine.SetUpError(f"{who}: {step.last_words()}\n(All of it: {log})")


class _Step:
    def __init__(self, who: str, *, packages: int, show: bool) -> None:
        self._who = who
        self._packages = packages
        self._show = show
        self._began = time.monotonic()
        self._collected = 0
        self._unpacking = False
        self._lines: list[str] = []

    def read(self, process: subprocess.Popen[bytes], log: Path) -> None:
        with log.open("ab") as file:
            for raw in process.stdout or ():
                file.write(raw)
                self._note(raw.decode(errors="replace").rstrip())

    def _note(self, line: str) -> None:
        self._collected += line.startswith("Collecting ")
        self._unpacking = self._unpacking or line.startswith("Installing collected packages")
        if line and not line.startswith(("WARNING", "[notice]")):
            self._lines = [*self._lines[-20:], line]
        if self._show and line:
            say(self._who, line)

    def tell(self) -> None:
        seconds = f"{time.monotonic() - self._began:.0f} s"
        if self._unpacking:
            say(self._who, f"unpacking {self._packages or ''} packages ({seconds})".replace("  ", " "))
        elif self._packages:
            say(self._who, f"{self._collected} of {self._packages} packages ({seconds})")
        else:
            say(self._who, f"still at it ({seconds})")

    def last_words(self) -> str:
        errors = [line for line in self._lines if line.startswith("ERROR")] or self._lines[-1:]
        return _ADDRESS.sub("(the package index)", "\n".join(errors)) or "failed without a word"
