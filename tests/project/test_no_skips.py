import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_site import ROOT

# Run as a project of its own: that these are skipped is what is tested.
TESTS = """
import pytest
@pytest.mark.skip(reason="no Chromium here")
def test_a(): ...
@pytest.mark.gpu
@pytest.mark.skip(reason="no GPU here")
def test_b(): ...
def test_c(): ...
"""


def outcome(folder: Path, **environment: str) -> tuple[int, str]:
    (folder / "test_some.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:django", "-p", "tests.no_skips", "-c", "pytest.ini", "."],
        cwd=folder,
        env={**variables, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


class TestASkippedTest:
    def test_is_a_failure_on_ci_unless_it_needs_a_gpu(self, tmp_path: Path) -> None:
        status, said = outcome(tmp_path, CI="true")

        assert status == pytest.ExitCode.TESTS_FAILED
        assert "1 passed, 1 skipped, 1 error" in said
        assert "no Chromium here" in said

    def test_is_a_skip_elsewhere(self, tmp_path: Path) -> None:
        status, said = outcome(tmp_path)

        assert status == pytest.ExitCode.OK
        assert "1 passed, 2 skipped" in said
