"""Programs that stand for gcloud, kubectl and docker: they take notes, and answer what a test says."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

STEPS = ROOT / ".ci/cloud"
REGISTRY = "europe-west4-docker.pkg.dev/imagen-dev/imagen"
TAG = "0123456789abcdef"
# A shell's, since a release starts some fifty of them. Rendering is left to the real kubectl.
_PROGRAM = """#!/usr/bin/env bash
line="${{0##*/}} $*"
echo "$line" >>{notes}
case "$line" in
{answers}
"kubectl kustomize"*) exec {kubectl} "$@" ;;
esac
"""


@dataclass
class CloudCommands:
    """
    A folder of such programs, and the workspace of one release.

    answers: by the beginning of a command line, its exit status and what it prints; else 0 and nothing.
    """

    folder: Path
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        self.workspace.mkdir()

    @property
    def workspace(self) -> Path:
        """Where the steps leave things for each other."""
        return self.folder / "release"

    @property
    def calls(self) -> list[str]:
        notes = self.folder / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    def called(self, beginning: str) -> list[str]:
        """Return what followed this beginning in each call."""
        return [call.removeprefix(beginning).strip() for call in self.calls if call.startswith(beginning)]

    def step(self, *command: str, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        """Run one step, as cloudbuild.yaml does."""
        self._write_programs()
        return subprocess.run(
            ["bash", *command],
            cwd=ROOT,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "REGISTRY": REGISTRY,
                "TAG": TAG,
                "REGION": "europe-west4",
                "ENVIRONMENT": environment,
                "SITE_URL": "https://dev.imagen.example.com",
                "SMOKE": "photos",
                "SCAN_LOCATION": "europe",
                "RELEASE_DIR": str(self.workspace),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _write_programs(self) -> None:
        answers = "\n".join(
            f"{shlex.quote(beginning)}*) printf %s {shlex.quote(text)}; exit {status} ;;"
            for beginning, (status, text) in self.answers.items()
        )
        program = _PROGRAM.format(
            notes=shlex.quote(str(self.folder / "notes")), kubectl=shutil.which("kubectl"), answers=answers
        )
        for name in ("gcloud", "kubectl", "docker"):
            (self.folder / "bin" / name).write_text(program)
            (self.folder / "bin" / name).chmod(0o755)
