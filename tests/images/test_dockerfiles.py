"""The Dockerfiles by hadolint, and what no linter asks of them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deployment

HADOLINT = ROOT / ".venv-deployment/bin/hadolint"
DOCKERFILES = [ROOT / "docker/Dockerfile", ROOT / "triton_models/Dockerfile"]
EVERY = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)


def complaints(dockerfile: Path) -> str:
    return subprocess.run([HADOLINT, str(dockerfile)], capture_output=True, text=True, check=False).stdout


class TestHadolint:
    def test_finds_what_is_wrong(self, tmp_path: Path) -> None:
        bad = tmp_path / "Dockerfile"
        bad.write_text("FROM debian\nRUN apt-get install curl\n")

        assert "DL3006" in complaints(bad)

    @EVERY
    def test_has_nothing_to_say(self, dockerfile: Path) -> None:
        assert complaints(dockerfile) == ""


class TestEveryDockerfile:
    @EVERY
    def test_takes_its_base_from_an_argument_that_a_deployment_may_pin(self, dockerfile: Path) -> None:
        text = dockerfile.read_text()
        bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
        stages = re.findall(r"^FROM \S+ AS (\S+)", text, flags=re.MULTILINE)
        outside = {base for base in bases if base not in stages}

        assert len(outside) == 1
        (name,) = re.findall(r"\$\{(\w+)\}", outside.pop())
        assert re.search(rf"^ARG {name}=\S+:\S+$", text, flags=re.MULTILINE)

    @EVERY
    def test_ends_as_nobody_in_particular(self, dockerfile: Path) -> None:
        assert re.findall(r"^USER (\S+)", dockerfile.read_text(), flags=re.MULTILINE)[-1] == "10001:10001"

    @EVERY
    def test_names_no_package_index(self, dockerfile: Path) -> None:
        text = dockerfile.read_text()

        assert re.findall(r"--(?:extra-)?index-url|--find-links|PIP_(?:EXTRA_)?INDEX_URL|ARG PIP", text) == []

    @EVERY
    def test_installs_by_a_lock(self, dockerfile: Path) -> None:
        assert "--require-hashes" in dockerfile.read_text()
