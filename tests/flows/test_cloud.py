"""The whole way of a job through the cloud's services: topic, worker, model server, bucket, push; nothing is faked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from jobs.operations import OPERATIONS
from tests.cloud_site import WORKERS
from tests.photos import photo
from tests.running_site import wait_until

if TYPE_CHECKING:
    from tests.cloud_fixtures import Cloud
    from tests.cloud_site import CloudSite

pytestmark = [
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.emulator,
    pytest.mark.postgres,
    pytest.mark.xdist_group("cloud"),
    pytest.mark.timeout(240),
]

PATHS = {operation.name: operation.path for operation in OPERATIONS.values()}
SIDE = 96


@pytest.fixture
def site(cloud: Cloud) -> CloudSite:
    return cloud.site


def completed_on_the_socket(site: CloudSite, job_ids: set[str]) -> dict[str, dict[str, object]]:
    """Return what the account's websocket said of these jobs last, when all have ended."""
    ended: dict[str, dict[str, object]] = {}
    for job in site.watch_all(shown=job_ids, seconds=60):
        if job["job_id"] in job_ids and job["status"] == "completed":
            ended[job["job_id"]] = job
        if ended.keys() == job_ids:
            return ended
    raise AssertionError("the socket was closed")


class TestAJobOfEachOperation:
    def test_runs_through_its_own_topic_and_worker_and_is_settled_once_by_push(self, site: CloudSite) -> None:
        # Without it nobody but the push can settle: no page and no API call is made meanwhile.
        site.stop_process("sweep")
        jobs = {operation: str(site.submit(path, photo(SIDE))["job_id"]) for operation, path in PATHS.items()}

        ended = completed_on_the_socket(site, set(jobs.values()))

        wait_until(lambda: not site.accounts(list(jobs.values())).unsettled, seconds=20, what="settling by push")
        known = site.accounts(list(jobs.values()))
        assert known.agrees
        pushed = [line["job_id"] for line in site.lines("webhooks", "push_taken") if line["outcome"] == "settled"]
        for operation, job_id in jobs.items():
            claims = {name: of(site, name, "job_claimed", job_id) for name in WORKERS.values()}
            assert claims == {name: int(name == WORKERS[operation]) for name in WORKERS.values()}
            assert pushed.count(job_id) == 1
            assert known.ledger(job_id) == ["hold", "capture"]
            result = Image.open(io.BytesIO(site.download(str(ended[job_id]["output"]["url"]))))  # type: ignore[index]
            side = 4 * SIDE if operation == "upscale" else SIDE
            assert result.size == (side, side)
            assert result.format == ("PNG" if operation == "background_remove" else "JPEG")


def of(site: CloudSite, part: str, event: str, job_id: str) -> int:
    """Count a part's lines of this event about this job."""
    return sum(line["job_id"] == job_id for line in site.lines(part, event))
