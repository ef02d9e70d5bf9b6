"""What the pages of docs/runbooks/ say, taken apart."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "docs/runbooks"
INDEX = FOLDER / "README.md"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
HEADINGS = (
    "You see",
    "Users notice",
    "Urgent?",
    "Look here first",
    "Causes and what to do",
    "It is over when",
    "Afterwards",
)
_BY_JOB = re.compile(r'jobs execute migrate .*--args=(?:"([^"]+)"|(\S+))')


@dataclass(frozen=True)
class Command:
    """A command of a page, without the words around it."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.stem}: {' '.join(self.words)}"

    def options(self) -> list[str]:
        return [word.partition("=")[0] for word in self.words if word.startswith("-")]


def commands(program: str) -> list[Command]:
    """Return what the pages tell one to run with kubectl, gcloud or manage.py; in the cloud that is run by a job."""
    lines = [(page, line) for page in [*PAGES, INDEX] for line in _code(page.read_text())]
    found = [Command(page, tuple(shlex.split(line))) for page, line in lines if line.startswith(f"{program} ")]
    if program != "manage.py":
        return found
    by_job = [(page, _BY_JOB.search(line)) for page, line in lines]
    return found + [Command(page, ("manage.py", *(job[1] or job[2]).split(","))) for page, job in by_job if job]


def _code(text: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + spans


def alerts_of(page: Path) -> list[str]:
    """Return the names of the alerts that a page is about: those in bold in its first section."""
    section = page.read_text().partition("## You see")[2].partition("\n## ")[0]
    return re.findall(r"\*\*([\w-]+)\*\*", section)
