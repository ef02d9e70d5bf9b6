"""One job's way through Google's services, each by its emulator, with every process of ours but the model server."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from jobs.tests.conftest import png
from tests.flows.thin_worker import SQL_ASKED_FOR
from tests.running_site import RunningSite, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.emulator_fixtures import Emulator

pytestmark = [
    pytest.mark.emulator,
    pytest.mark.processes,
    pytest.mark.xdist_group("emulators"),
    pytest.mark.timeout(240),
]

# Nothing listens there.
NO_SQL = "postgres://nobody:nothing@127.0.0.1:9/nowhere"


class CloudSite(RunningSite):
    webhooks_url = ""

    def start_thin_worker(self, queue: str, **environment: str) -> None:
        self.start_worker("worker", queue, app="tests.flows.thin_worker", **environment)

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """The lines of this event in a process's log."""
        lines = [json.loads(line) for line in self.log(name).splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]


@pytest.fixture(scope="module")
def site(
    pubsub_server: Emulator,
    firestore_server: Emulator,
    storage_server: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CloudSite]:
    token, port = secrets.token_urlsafe(40), free_port()
    settings = {
        "IMAGEN_PROFILE": "emulators",
        "GOOGLE_CLOUD_PROJECT": "flow-project",
        "GCS_BUCKET": "flow-photos",
        "PUBSUB_EMULATOR_HOST": pubsub_server.host,
        "FIRESTORE_EMULATOR_HOST": firestore_server.host,
        "STORAGE_EMULATOR_HOST": storage_server.url,
        "PUSH_TOKEN": token,
        "DRAIN_SECONDS": "2",
    }
    site = CloudSite(tmp_path_factory.mktemp("cloud") / "var", "127.0.0.1:9", settings, concurrency=2)
    try:
        site.webhooks_url = f"http://127.0.0.1:{port}"
        site.prepare()
        site.manage("prepare_emulators", site.webhooks_url)
        site.start_webhooks(port)
        site.start_web()
        yield site
    finally:
        site.stop()


@pytest.fixture
def alive(tmp_path: Path) -> Path:
    return tmp_path / "alive"


class TestTheWebhooksService:
    def test_takes_no_push_without_its_token(self, site: CloudSite) -> None:
        request = urllib.request.Request(f"{site.webhooks_url}/push/sweep", data=b"{}", method="POST")

        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=10)

        assert refusal.value.code == 401
        refusal.value.close()


class TestAJobOfTheCloud:
    def test_goes_by_pubsub_and_firestore_past_a_worker_without_sql_and_is_settled_by_its_event(
        self, site: CloudSite, alive: Path
    ) -> None:
        site.start_thin_worker("upscale-jobs", IMAGEN_SERVICE="worker", LIVENESS_FILE=str(alive))

        job_id = str(site.submit("upscale", png(), filename="photo.png")["job_id"])
        wait_until(lambda: site.events("webhooks", "push_taken"), seconds=60, what="the push that settles the job")

        (taken,) = site.events("webhooks", "push_taken")
        job = site.job(job_id)
        assert (taken["job_id"], taken["outcome"]) == (job_id, "settled")
        assert (job["status"], job["attempt"]) == ("completed", 1)
        # By way of Firestore, which takes no list in a list, and of SQL, which takes no NaN.
        assert job["provenance"]["device"]["name"] == "Tesla T4"
        assert job["provenance"]["checks"] == {"shift": [0.5, "[1]"], "worst": None}
        assert taken["trace_id"] == site.events("worker", "job_ended")[0]["trace_id"]
        assert SQL_ASKED_FOR not in site.log("worker")
        assert alive.exists()
        site.stop_process("worker")

    def test_is_handed_back_by_a_worker_that_must_stop_and_done_by_the_next(self, site: CloudSite) -> None:
        site.start_thin_worker("enhance-jobs", DATABASE_URL=NO_SQL, SLOW_MODEL="yes")
        jobs = [str(site.submit("enhance", png(), filename="photo.png")["job_id"]) for _ in range(4)]
        wait_until(lambda: site.job(jobs[0])["status"] == "processing", seconds=60, what="the beginning of the work")

        seconds = site.stop_process("worker")
        handed_back = [site.job(job_id) for job_id in jobs]
        site.start_thin_worker("enhance-jobs", DATABASE_URL=NO_SQL)
        ended = [site.wait_for(job_id, seconds=60) for job_id in jobs]

        assert seconds < 12
        assert {(job["status"], job["attempt"]) for job in handed_back} == {("queued", 0)}
        assert {(job["status"], job["attempt"]) for job in ended} == {("completed", 1)}
        assert SQL_ASKED_FOR not in site.log("worker")
