from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imagen_site import liveness
from imagen_site.liveness import Heart, complaint

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run/alive"


class TestAWorker:
    def test_that_comes_round_is_well(self, path: Path) -> None:
        Heart(path, longest_job=HOUR).beat([None, time.time() - 60])

        assert complaint(path) == ""

    def test_that_has_not_begun_is_not(self, path: Path) -> None:
        assert "has not begun" in complaint(path)

    def test_whose_loop_hangs_is_not(self, path: Path) -> None:
        Heart(path, longest_job=HOUR).beat([])
        long_ago = time.time() - 90
        os.utime(path, (long_ago, long_ago))

        assert "90 seconds ago" in complaint(path)

    def test_with_a_job_that_runs_for_ever_is_not(self, path: Path) -> None:
        heart = Heart(path, longest_job=HOUR)

        heart.beat([time.time(), time.time() - 3601])

        assert complaint(path)

    def test_touches_its_file_no_more_than_once_a_second(self, path: Path) -> None:
        now = [1000.0]
        heart = Heart(path, longest_job=HOUR, clock=lambda: now[0])
        heart.beat([])
        path.unlink()

        now[0] += 0.5
        heart.beat([])
        assert not path.exists()
        now[0] += 0.5
        heart.beat([])
        assert path.exists()


class TestTheProbe:
    def test_answers_by_its_exit_code_and_a_sentence(self, path: Path) -> None:
        probe = [sys.executable, "-I", liveness.__file__, str(path)]

        before = subprocess.run(probe, capture_output=True, text=True, check=False)
        Heart(path, longest_job=HOUR).beat([])
        after = subprocess.run(probe, capture_output=True, text=True, check=False)

        assert (before.returncode, after.returncode) == (1, 0)
        assert "not begun" in before.stderr
        assert after.stderr == ""
