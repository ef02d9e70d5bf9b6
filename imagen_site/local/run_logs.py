"""What the programs have written since this run began: supervisor goes on in the files of the runs before."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINES = 15


class RunLogs:
    """The logs of a folder from the moment on in which this is made, which is before the programs start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._older = {path.name: path.stat().st_size for path in folder.glob("*.log")}

    def end_of(self, program: str) -> str:
        """Return the last lines that a program wrote in this run, without the newline; empty where it wrote none."""
        path = self.folder / f"{program}.log"
        if not path.exists():
            return ""
        older = self._older.get(path.name, 0)
        with path.open("rb") as file:
            # A shorter file than before is a new one: the older one was put aside when it was full.
            file.seek(older if older <= path.stat().st_size else 0)
            return b"".join(deque(file, maxlen=_LINES)).decode(errors="replace").rstrip()

    def shown(self, program: str) -> str:
        """Return that with where it is from, for a person."""
        return f"The end of {self.folder / program}.log:\n{self.end_of(program) or '(nothing in this run)'}"
