"""What the images start, and what they say when they cannot."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_site import container
from imagen_site.local.programs import cloud_programs

if TYPE_CHECKING:
    import pytest

WORKER = {
    "IMAGEN_PROFILE": "gcp",
    "IMAGEN_SERVICE": "worker",
    "GOOGLE_CLOUD_PROJECT": "imagen-dev",
    "GCS_BUCKET": "imagen-dev-imagen",
    "TRITON_URL": "triton-headless:8001",
}


def started(monkeypatch: pytest.MonkeyPatch, program: str, environment: dict[str, str]) -> list[str]:
    """Return the arguments of Python that the container goes on as."""
    became: list[str] = []
    monkeypatch.setattr(runpy, "run_module", lambda module, **_: became.extend(("-m", module, *sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(os, "environ", environment)
    assert container.main([program]) == 0
    return became


def on_one_machine(name: str) -> list[str]:
    programs = cloud_programs(Path("/checkout"), port=1, webhooks_port=2, run_dir=Path("/run"))
    return next(list(program.command) for program in programs if program.name == name)


def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, environment: dict[str, str]
) -> str:
    monkeypatch.setattr(os, "environ", environment)
    assert container.main([program]) == 1
    return capsys.readouterr().err


class TestTheApi:
    def test_listens_where_it_is_told_for_all_who_reach_the_container(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        line = started(monkeypatch, "api", {"IMAGEN_VAR_DIR": str(tmp_path), "PORT": "8123"})

        assert line[:2] == ["-m", "uvicorn"]
        assert "--host 0.0.0.0 --port 8123" in " ".join(line)

    def test_is_served_as_on_one_machine(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        line = started(monkeypatch, "api", {"IMAGEN_VAR_DIR": str(tmp_path)})

        web = on_one_machine("web")
        assert line[line.index("--port") + 2 :] == web[web.index("--port") + 2 :]
        assert "--ws-per-message-deflate false" in " ".join(line)

    def test_names_all_that_it_was_not_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = refusal(monkeypatch, capsys, "api", {"IMAGEN_PROFILE": "gcp", "PORT": "http"})

        for name in ("SECRET_KEY", "DATABASE_URL", "GCS_BUCKET", "SITE_URL", "PORT: 'http' is not a port"):
            assert name in said
        assert "Traceback" not in said

    def test_is_not_started_as_a_worker(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = refusal(monkeypatch, capsys, "api", WORKER)

        assert "IMAGEN_SERVICE is 'worker', and api runs site or webhooks" in said


class TestTheWorker:
    def test_takes_the_jobs_of_its_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line = started(monkeypatch, "worker", {**WORKER, "WORKER_QUEUE": "style-aged-jobs", "WORKER_JOBS": "2"})

        assert "-c 2 " in " ".join(line)
        assert line[line.index("-Q") + 1] == "style-aged-jobs"

    def test_takes_the_jobs_of_every_queue_when_it_is_told_of_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "-Q" not in started(monkeypatch, "worker", WORKER)

    def test_knows_no_queue_that_there_is_not(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = refusal(monkeypatch, capsys, "worker", {**WORKER, "WORKER_QUEUE": "upscale"})

        assert "WORKER_QUEUE: 'upscale' is not one of upscale-jobs, enhance-jobs" in said

    def test_is_not_started_as_the_site(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        emulators = {
            "IMAGEN_PROFILE": "emulators",
            "IMAGEN_VAR_DIR": str(tmp_path),
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
            "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
            "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
        }

        assert "worker runs worker" in refusal(monkeypatch, capsys, "worker", emulators)
