import subprocess
import sys
from pathlib import Path

import pytest

from triton_models import server_runs
from triton_models.server_runs import Run
from triton_models.server_wheel import PROJECT_ROOT

_BEGIN_AND_WAIT = """
import sys
from pathlib import Path
from triton_models import server_runs
run = server_runs.begin(Path(sys.argv[1]), shared_memory=Path(sys.argv[2]))
print(run.folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def shared_memory(tmp_path: Path) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


class OtherProcess:
    """A process of its own with a run of its own."""

    def __init__(self, runs: Path, shared_memory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN_AND_WAIT, str(runs), str(shared_memory)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.run = Run(Path(self._process.stdout.readline().strip()))
        self.region = shared_memory / f"{self.run.token}1234"
        self.region.touch()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class TestBegin:
    def test_makes_room_for_a_repository_under_a_name_of_its_own(self, runs: Path, shared_memory: Path) -> None:
        first = server_runs.begin(runs, shared_memory=shared_memory)
        second = server_runs.begin(runs, shared_memory=shared_memory)

        assert first.repository.is_dir()
        assert second.repository.is_dir()
        assert first.token != second.token

    def test_leaves_alone_what_belongs_to_a_run_that_lasts(self, runs: Path, shared_memory: Path) -> None:
        other = OtherProcess(runs, shared_memory)

        server_runs.begin(runs, shared_memory=shared_memory)

        assert other.region.exists()
        assert other.run.repository.exists()
        other.kill()

    def test_cleans_up_after_a_run_that_was_killed(self, runs: Path, shared_memory: Path) -> None:
        foreign = shared_memory / "triton_python_backend_shm_region_1"
        foreign.touch()
        other = OtherProcess(runs, shared_memory)
        other.kill()

        server_runs.begin(runs, shared_memory=shared_memory)

        assert not other.region.exists()
        assert not other.run.folder.exists()
        assert foreign.exists()

    def test_cleans_up_after_a_starter_that_was_killed_before_its_lock(self, runs: Path, shared_memory: Path) -> None:
        (runs / "imagen_0123456789ab_/repository").mkdir(parents=True)

        run = server_runs.begin(runs, shared_memory=shared_memory)

        assert [folder for folder in runs.iterdir() if folder.is_dir()] == [run.folder]
