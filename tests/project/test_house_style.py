"""What no linter checks for us."""

import ast
import subprocess
from pathlib import Path

from tests.running_site import ROOT

MAX_FUNCTION_LINES, MAX_MODULE_LINES = 40, 400


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked("*.py") if "migrations" not in path.parts]


class TestEveryFunction:
    def test_fits_a_screen(self) -> None:
        long = [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
            for path in modules()
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno is not None
            and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
        ]

        assert long == []


class TestEveryModule:
    def test_is_about_one_thing(self) -> None:
        long = {
            str(path.relative_to(ROOT)): lines
            for path in modules()
            if (lines := len(path.read_text().splitlines())) > MAX_MODULE_LINES
        }

        assert long == {}


class TestEveryCommittedFile:
    def test_names_no_home_of_anybody(self) -> None:
        # Written so that this file does not name them either.
        folders = ["/" + name + "/" for name in ("root", "home", "work", "Users")]
        found = [
            f"{path.relative_to(ROOT)}: {folder}"
            for path in tracked("*")
            if path.suffix not in {".jpg", ".png"}
            for folder in folders
            if any(f"{before}{folder}" in path.read_text(errors="replace") for before in (" ", '"', "'", "=", "\n"))
        ]

        assert found == []

    def test_is_small(self) -> None:
        large = [str(path.relative_to(ROOT)) for path in tracked("*") if path.stat().st_size > 1_000_000]

        assert large == []
