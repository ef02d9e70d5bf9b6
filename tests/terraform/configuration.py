"""
What the files of terraform/ say, as far as no plan shows it.

`terraform fmt` puts every top-level block's ends at the beginning of a line; that is enough to read it by.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK = re.compile(r'^(\w+)((?: "[^"]+")*) \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
_EXPECTED = re.compile(r"expect_failures = \[([^\]]*)\]")


@dataclass(frozen=True)
class Block:
    """A top-level block: `resource "google_sql_user" "imagen" {…}` is of kind "resource" with two labels."""

    file: Path
    kind: str
    labels: tuple[str, ...]
    body: str

    @property
    def name(self) -> str:
        return self.labels[-1]


def blocks(files: Iterable[Path], *kinds: str) -> list[Block]:
    return [
        Block(file, found[1], tuple(re.findall(r'"([^"]+)"', found[2])), found[3])
        for file in files
        for found in _BLOCK.finditer(file.read_text())
        if found[1] in kinds
    ]


def refusals(folder: Path) -> Counter[str]:
    """Return how many runs of a module's tests expect each variable to be refused."""
    tests = (file.read_text() for file in folder.glob("tests/*.tftest.hcl"))
    return Counter(
        name for text in tests for listed in _EXPECTED.findall(text) for name in re.findall(r"var\.(\w+)", listed)
    )
