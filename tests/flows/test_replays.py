"""What comes late or twice in the cloud: a worker that wakes after its lease, an event that is told again."""

from __future__ import annotations

import io
import os
import signal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from PIL import Image

from imagen_site.brokers.pubsub_service import Outgoing, Pubsub
from jobs import job_events
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
# Some seconds of work.
LONG = 400


def begin_long_job(site: CloudSite) -> str:
    """Submit, and wait until the model is in the middle of it."""
    job_id = str(site.submit("upscale", photo(LONG))["job_id"])
    wait_until(lambda: site.job(job_id)["progress"] > 5, seconds=60, what="the middle of the job")
    return job_id


def pushes_of(site: CloudSite, job_id: str) -> list[str]:
    """Return what became of each pushed message about this job."""
    return [line["outcome"] for line in site.lines("webhooks", "push_taken") if line["job_id"] == job_id]


def ledger_of(site: CloudSite, job_id: str) -> list[str]:
    return site.accounts([job_id]).ledger(job_id)


class TestAWorkerThatSleepsPastItsLease:
    def test_cannot_finish_overwrite_or_bill(self, cloud: Cloud) -> None:
        site = cloud.site
        job_id = begin_long_job(site)
        asleep = site.process("upscale-worker")

        os.killpg(asleep.pid, signal.SIGSTOP)
        try:
            site.start_second("upscale-worker")
            job = site.wait_for(job_id)
        finally:
            os.killpg(asleep.pid, signal.SIGCONT)
        wait_until(lambda: site.lines("upscale-worker", "job_lost"), seconds=30, what="the end of the sleeper's work")

        assert (job["status"], job["attempt"]) == ("completed", 2)
        after = site.job(job_id)
        assert {name: after[name] for name in ("version", "attempt", "status", "output")}.items() <= {
            **job,
            "output": {**job["output"], "url": after["output"]["url"]},
        }.items()
        result = Image.open(io.BytesIO(site.download(after["output"]["url"])))
        assert result.size == (4 * LONG, 4 * LONG)
        wait_until(lambda: "capture" in ledger_of(site, job_id), seconds=20, what="the settling of the job")
        assert ledger_of(site, job_id) == ["hold", "capture"]
        site.stop_process("second")


class TestAJobEventThatIsReplayed:
    def test_or_comes_out_of_order_changes_nothing(self, cloud: Cloud) -> None:
        site = cloud.site
        pubsub = Pubsub(project=site.project, emulator_host=cloud.pubsub.host)

        def tell_of(job_id: str) -> None:
            pubsub.publish(job_events.TOPIC, [Outgoing(job_events.event(UUID(job_id)), {})], seconds=5)

        job_id = begin_long_job(site)
        tell_of(job_id)
        wait_until(lambda: pushes_of(site, job_id) == ["no_effect"], seconds=20, what="the event that came too early")
        job = site.wait_for(job_id)
        wait_until(lambda: "capture" in ledger_of(site, job_id), seconds=20, what="the settling of the job")
        heard = len(pushes_of(site, job_id))
        for _ in range(5):
            tell_of(job_id)
        wait_until(lambda: len(pushes_of(site, job_id)) >= heard + 5, seconds=20, what="the replayed events")

        assert pushes_of(site, job_id)[heard:] == ["no_effect"] * 5
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert site.job(job_id)["version"] == job["version"]
        assert ledger_of(site, job_id) == ["hold", "capture"]
        assert site.accounts([job_id]).agrees
