"""
Jobs while workers, the webhooks service and the model server die of kill -9: nothing is lost, doubled or billed twice.

`make chaos` runs the whole of it, CHAOS_SEED=number repeats its choices; a default run takes a tenth.
"""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from jobs.state_store.firestore_channel import FirestoreDatabase
from jobs.states import JobStatus
from tests.chaos import Outcome, Plan, faults_of, run, say, unseen_versions
from tests.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cloud_fixtures import Cloud
    from tests.cloud_site import CloudSite

pytestmark = [
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.emulator,
    pytest.mark.postgres,
    pytest.mark.xdist_group("cloud"),
]

SAMPLE = Plan(
    jobs=30,
    seed=4,
    seconds=150,
    storm_seconds=20,
    republish_seconds=15,
    webhooks_every=6,
    triton_every=10,
    triton_times=1,
)
WHOLE = Plan(jobs=300, seed=int(os.environ.get("CHAOS_SEED") or time.time()), seconds=480, storm_seconds=240)


@pytest.fixture
def witness(cloud: Cloud) -> Iterator[Witness]:
    with Witness(FirestoreDatabase(cloud.site.project, emulator_host=cloud.firestore_itself)) as witness:
        yield witness


def check(site: CloudSite, outcome: Outcome) -> None:
    job_ids = list(outcome.states)
    known = site.accounts(job_ids)

    assert {job_id: faults for job_id in job_ids if (faults := faults_of(outcome.states[job_id]))} == {}
    assert known.agrees
    for job_id in job_ids:
        check_one(site, outcome, job_id, known.jobs[job_id]["status"], known.ledger(job_id))
    settled = [line["job_id"] for part in ("web", "webhooks", "sweep") for line in site.lines(part, "job_settled")]
    assert [job_id for job_id in job_ids if settled.count(job_id) > 1] == []
    unseen = sum(len(unseen_versions(outcome.states[job_id])) for job_id in job_ids)
    say(f"{sum(outcome.last(job_id).version for job_id in job_ids)} versions, {unseen} of them not seen")


def check_one(site: CloudSite, outcome: Outcome, job_id: str, status: str, ledger: list[str]) -> None:
    last = outcome.last(job_id)
    assert status == last.status.value
    if last.status is JobStatus.FAILED:
        # The one failure that kills can cause, of a job that was begun as often as any may be.
        assert last.error_code == "attempts_exhausted"
        assert {state.attempt for state in outcome.states[job_id]} >= {1, 2, 3, 4, 5}
        assert ledger == ["hold", "release"]
        return
    assert last.status is JobStatus.COMPLETED
    assert ledger == ["hold", "capture"]
    job = site.job(job_id)
    result = Image.open(io.BytesIO(site.download(job["output"]["url"])))
    assert result.size == (job["output"]["width"], job["output"]["height"])


class TestAStorm:
    @pytest.mark.timeout(300)
    def test_of_half_a_minute_loses_doubles_and_bills_nothing(self, cloud: Cloud, witness: Witness) -> None:
        outcome = run(cloud, witness, SAMPLE)

        check(cloud.site, outcome)

    @pytest.mark.chaos
    @pytest.mark.timeout(900)
    def test_over_three_hundred_jobs_loses_doubles_and_bills_nothing(self, cloud: Cloud, witness: Witness) -> None:
        outcome = run(cloud, witness, WHOLE)

        check(cloud.site, outcome)
