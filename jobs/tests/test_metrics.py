from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from inference.errors import InferenceRefused, InferenceUnavailable
from inference.fake_client import Script
from jobs.errors import Unavailable
from jobs.metrics import RunnerMetrics
from jobs.runner import Outcome
from jobs.sweep import Sweeper
from jobs.tests.conftest import INFO, NOW, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Account
    from jobs.runner import Runner


class Rise:
    """By how much a sample is above what it was when the test began; the process counts for all its tests."""

    def __init__(self) -> None:
        self._before = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        now = REGISTRY.get_sample_value(name, labels) or 0.0
        return now - self._before.get((name, *sorted(labels.items())), 0.0)


@pytest.fixture
def rise() -> Rise:
    return Rise()


@pytest.fixture
def worker(world: World) -> Runner:
    return world.with_runner(observer=RunnerMetrics())


class TestAJobThatCompletes:
    def test_is_counted_once_with_its_stages_and_its_wait(
        self, world: World, rich: Account, worker: Runner, rise: Rise
    ) -> None:
        job = world.submit(rich)
        world.clock.pass_(seconds=7)

        worker.run(job.id)
        worker.run(job.id)

        assert rise("imagen_jobs_total", operation="upscale", status="completed") == 1
        for stage in ("downloading", "inferring", "uploading"):
            assert rise("imagen_job_stage_seconds_count", operation="upscale", stage=stage) == 1
        assert rise("imagen_job_queue_wait_seconds_count", operation="upscale") == 1
        assert rise("imagen_job_queue_wait_seconds_sum", operation="upscale") == 7
        assert rise("imagen_lease_takeovers_total") == 0

    def test_has_taken_as_long_as_its_person_waited_for_it(
        self, world: World, rich: Account, worker: Runner, rise: Rise
    ) -> None:
        job = world.submit(rich)
        world.clock.pass_(seconds=7)

        worker.run(job.id)

        ended = {"operation": "upscale", "status": "completed"}
        assert rise("imagen_job_seconds_count", **ended) == 1
        assert rise("imagen_job_seconds_sum", **ended) == 7

    def test_is_one_that_runs_meanwhile(self, world: World, rich: Account, worker: Runner, rise: Rise) -> None:
        job = world.submit(rich)
        seen = []
        read = world.images.read
        world.images.read = lambda path: (  # type: ignore[method-assign]
            seen.append(rise("imagen_jobs_running", operation="upscale")),
            read(path),
        )[1]

        worker.run(job.id)

        assert seen == [1]
        assert rise("imagen_jobs_running", operation="upscale") == 0


class TestAJobThatDoesNot:
    def test_is_counted_as_failed_without_the_stage_that_failed(
        self, world: World, rich: Account, worker: Runner, rise: Rise
    ) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceRefused("unreadable_image", "No.")))

        worker.run(job.id)

        assert rise("imagen_jobs_total", operation="upscale", status="failed") == 1
        assert rise("imagen_job_stage_seconds_count", operation="upscale", stage="downloading") == 1
        assert rise("imagen_job_stage_seconds_count", operation="upscale", stage="inferring") == 0

    @pytest.mark.parametrize(("code", "fault"), [("unreadable_image", "theirs"), ("out_of_memory", "ours")])
    def test_is_counted_by_its_code_and_by_whose_fault_it_was(
        self, world: World, rich: Account, worker: Runner, rise: Rise, code: str, fault: str
    ) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceRefused(code, "No.")))

        worker.run(job.id)

        assert rise("imagen_job_failures_total", operation="upscale", code=code, fault=fault) == 1

    def test_is_counted_as_cancelled_by_who_cancels_it(self, world: World, rich: Account, rise: Rise) -> None:
        job = world.submit(rich)

        for _ in range(2):
            world.service.cancel(job, now=NOW)

        assert rise("imagen_jobs_total", operation="upscale", status="cancelled") == 1

    @pytest.mark.parametrize("who", ["worker", "sweep"])
    def test_is_counted_by_who_parks_it(
        self, world: World, rich: Account, worker: Runner, rise: Rise, who: str
    ) -> None:
        job = world.submit(rich)
        state, version = world.states.read(job.id)
        for _ in range(5):
            state = state.claim(now=world.clock(), lease=timedelta(seconds=60), max_attempts=5)
            version = world.states.write(state, expected=version)
            world.clock.pass_(seconds=61)
        sweeper = Sweeper(
            service=world.service, uploads=world.uploads, max_attempts=5, republish_after=timedelta(minutes=10)
        )

        if who == "worker":
            worker.run(job.id)
        sweeper.sweep(now=world.clock())

        assert rise("imagen_jobs_total", operation="upscale", status="failed") == 1


class TestAWorker:
    def test_that_takes_a_job_over_is_told_from_one_that_begins_it(
        self, world: World, rich: Account, worker: Runner, rise: Rise
    ) -> None:
        job = world.submit(rich)
        state, version = world.states.read(job.id)
        silent = state.claim(now=NOW, lease=timedelta(seconds=60), max_attempts=5)
        world.states.write(silent, expected=version)
        world.clock.pass_(seconds=61)

        worker.run(job.id)

        assert rise("imagen_lease_takeovers_total") == 1
        assert rise("imagen_job_queue_wait_seconds_count", operation="upscale") == 0

    @pytest.mark.parametrize(
        ("break_", "part", "reason"),
        [
            (lambda world: world.client.__setattr__("up", False), "model_server", "InferenceUnavailable"),
            (lambda world: world.images.__setattr__("read", _away), "images", "Unavailable"),
        ],
        ids=["model_server", "images"],
    )
    def test_that_waits_out_an_outage_counts_its_tries_and_the_job_it_hands_back(
        self,
        world: World,
        rich: Account,
        worker: Runner,
        rise: Rise,
        break_: Callable[[World], None],
        part: str,
        reason: str,
    ) -> None:
        job = world.submit(rich)
        break_(world)

        assert worker.run(job.id) is Outcome.RELEASED

        assert rise("imagen_retries_total", part=part) >= 1
        assert rise("imagen_jobs_released_total", reason=reason) == 1
        assert rise("imagen_jobs_running", operation="upscale") == 0

    def test_that_is_back_after_one_try_has_counted_one(
        self, world: World, rich: Account, worker: Runner, rise: Rise
    ) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceUnavailable("busy")), Script(info=INFO))

        assert worker.run(job.id) is Outcome.ENDED

        assert rise("imagen_retries_total", part="model_server") == 1
        assert rise("imagen_job_stage_seconds_count", operation="upscale", stage="inferring") == 1


def _away(_path: str) -> bytes:
    raise Unavailable("The bucket does not answer.")
