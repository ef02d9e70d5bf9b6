from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import OperationalError
from structlog.testing import capture_logs

from jobs import adapters
from jobs.sweep import SweepReport
from tests.running_site import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pytest_django.fixtures import SettingsWrapper


class LockedOnce:
    """A sweeper whose first round finds the database locked, and whose third is the last."""

    def __init__(self) -> None:
        self.rounds = 0

    def sweep(self, *, now: datetime) -> SweepReport:
        self.rounds += 1
        if self.rounds == 1:
            raise OperationalError("database is locked")
        if self.rounds == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return SweepReport(announced=2)


@pytest.fixture
def sweeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[LockedOnce]:
    sweeper = LockedOnce()
    monkeypatch.setattr(adapters, "sweeper", lambda: sweeper)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield sweeper
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.django_db
class TestSweepCommand:
    def test_says_how_many_jobs_one_round_moved_on(
        self, sweeper: LockedOnce, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sweeper.rounds = 1

        call_command("sweep")

        assert "announced 2" in capsys.readouterr().out
        assert sweeper.rounds == 2

    def test_goes_on_after_a_locked_database_until_told_to_stop(
        self, sweeper: LockedOnce, settings: SettingsWrapper
    ) -> None:
        settings.IMAGEN = replace(settings.IMAGEN, sweep_every=timedelta(milliseconds=10))

        with capture_logs() as lines:
            call_command("sweep", every=True)

        assert sweeper.rounds == 3
        assert [(line["event"], line["error"]) for line in lines] == [("sweep_failed", "OperationalError")]


@pytest.mark.processes
class TestASweepingProcess:
    def test_ends_at_once_between_two_rounds(self, tmp_path: Path) -> None:
        environment = {**os.environ, "IMAGEN_VAR_DIR": str(tmp_path), "SWEEP_SECONDS": "3600"}
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "migrate", "-v0"], env=environment, check=True)
        process = subprocess.Popen([*manage, "sweep", "--every"], env=environment)
        # What the process handles itself, by the kernel's list; before that SIGTERM would simply kill it.
        status, terminate = Path(f"/proc/{process.pid}/status"), 1 << (signal.SIGTERM - 1)
        wait_until(
            lambda: int(status.read_text().split("SigCgt:")[1].split()[0], 16) & terminate, seconds=30, what="a sweep"
        )

        process.terminate()

        assert process.wait(5) == 0
