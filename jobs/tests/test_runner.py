from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import structlog

import billing.services
from inference.client import Progress
from inference.errors import InferenceBroken, InferenceRefused, InferenceTimeout, InferenceUnavailable
from inference.fake_client import Script
from jobs import trace
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.runner import Outcome
from jobs.states import JobStatus, Stage
from jobs.tests.conftest import INFO, NOW, World, png

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from accounts.models import Account
    from jobs.states import JobState


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def sql(job: Job) -> Job:
    return Job.objects.get(id=job.id)


class TestAJobThatWorks:
    def test_ends_completed_with_its_result_stored_and_is_charged_once(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        outcome = world.runner.run(job.id)

        state = world.state(job)
        assert outcome is Outcome.ENDED
        assert state.status is JobStatus.COMPLETED
        assert state.output is not None
        assert state.output.path == f"outputs/{job.id}/1/result.png"
        assert world.images.read(state.output.path) == b"result"
        assert (state.progress, state.stage) == (100, Stage.DONE)
        assert state.engine == INFO["engine"]
        assert set(state.timings) == {"queued", "downloading", "inferring", "uploading"}
        assert billing.services.charged(str(job.id)) == job.credits
        assert billing.services.balance(rich).held == 0

    def test_keeps_how_its_result_was_made(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        world.runner.run(job.id)

        parts = ("device", "batch_size", "seconds", "parameters", "checks", "warnings")
        assert world.state(job).provenance == {part: INFO[part] for part in parts}

    def test_is_not_lost_over_what_no_store_could_hold(self, world: World, rich: Account) -> None:
        info = {**INFO, "checks": {"shift": float("nan"), "seen": "a\0b"}, "seconds": "soon"}
        world.client.will(Script(image=b"result", info=info))
        job = world.submit(rich)

        world.runner.run(job.id)

        assert sql(job).status == "completed"
        assert sql(job).outcome["provenance"]["checks"] == {"shift": None, "seen": "ab"}

    def test_writes_no_prompt_into_the_log(self, world: World, rich: Account) -> None:
        info = {**INFO, "parameters": {"prompt": "my secret garden"}, "warnings": ["Of my secret garden."]}
        world.client.will(Script(image=b"result", info=info))
        job = world.submit(rich, values={"prompt": "my secret garden"})

        with structlog.testing.capture_logs() as lines:
            world.runner.run(job.id)

        assert any(line["event"] == "job_ended" for line in lines)
        assert "secret" not in str(lines)

    def test_sends_the_photo_and_the_parameters_to_the_operations_model(self, world: World, rich: Account) -> None:
        job = world.submit(rich, values={"scale": "2", "seed": 7, "format": "webp"})

        with trace.begun() as step:
            world.runner.run(job.id)

        (request,) = world.client.requests
        assert (request.model, request.scale, request.seed) == ("upscale", 2, 7)
        assert request.image == png()
        assert request.options["format"] == "webp"
        assert request.request_id == str(job.id)
        assert request.traceparent == step.traceparent
        assert "scale" not in request.options
        assert None not in request.options.values()

    def test_that_is_delivered_again_is_dropped(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.runner.run(job.id)

        assert world.runner.run(job.id) is Outcome.DROPPED

        assert len(world.client.requests) == 1
        assert billing.services.audit(rich).agrees
        assert billing.services.charged(str(job.id)) == job.credits

    def test_that_nobody_knows_is_dropped(self, world: World) -> None:
        assert world.runner.run(uuid4()) is Outcome.DROPPED


class TestAJobThatAnotherWorkerHolds:
    def test_is_dropped_while_the_lease_lasts(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        state, version = world.states.read(job.id)
        world.states.write(state.claim(now=NOW, lease=timedelta(seconds=60), max_attempts=5), expected=version)

        assert world.runner.run(job.id) is Outcome.DROPPED

    def test_is_taken_over_after_it_and_the_first_worker_changes_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        gate = threading.Event()
        world.client.will(Script(gate=gate, image=b"stale", info=INFO), Script(image=b"fresh", info=INFO))
        # A worker that the machine puts to sleep: it renews nothing until it wakes.
        asleep = world.with_runner(
            terms=world.runner.terms.__class__(
                duration=timedelta(seconds=60), renew_every=timedelta(hours=1), write_every=timedelta(hours=1)
            )
        )
        outcomes: list[Outcome] = []
        first = threading.Thread(target=lambda: outcomes.append(asleep.run(job.id)))
        first.start()
        wait_for(lambda: world.client.requests)
        world.clock.pass_(seconds=61)

        assert world.runner.run(job.id) is Outcome.ENDED
        ended = world.state(job)
        gate.set()
        first.join(5)

        assert outcomes == [Outcome.LOST]
        assert world.state(job) == ended
        assert ended.attempt == 2
        assert ended.output is not None
        assert world.images.read(ended.output.path) == b"fresh"
        assert billing.services.charged(str(job.id)) == job.credits
        assert billing.services.audit(rich).agrees


class TestAJobThatTheModelRefuses:
    def test_fails_with_the_models_reason_and_costs_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceRefused("unreadable_image", "The file is cut off.")))

        assert world.runner.run(job.id) is Outcome.ENDED

        state = world.state(job)
        assert (state.status, state.error_code) == (JobStatus.FAILED, "unreadable_image")
        assert state.error_message == "The file is cut off."
        assert sql(job).status == "failed"
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_does_not_keep_the_next_one_from_running(self, world: World, rich: Account) -> None:
        bad, good = world.submit(rich), world.submit(rich)
        world.client.will(Script(error=InferenceRefused("unreadable_image", "No.")))

        world.runner.run(bad.id)
        world.runner.run(good.id)

        assert world.state(good).status is JobStatus.COMPLETED

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (InferenceTimeout("late"), "timeout"),
            (InferenceBroken("a bug"), "internal"),
            (ValueError("ours"), "internal"),
        ],
    )
    def test_fails_by_a_timeout_or_a_bug_in_a_sentence_without_its_insides(
        self, world: World, rich: Account, error: Any, code: str
    ) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=error))

        world.runner.run(job.id)

        state = world.state(job)
        assert (state.status, state.error_code) == (JobStatus.FAILED, code)
        assert str(error) not in state.error_message

    def test_fails_when_its_photo_is_gone(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.images.delete_job(job.id)

        world.runner.run(job.id)

        assert world.state(job).error_code == "image_gone"


class TestAnOutage:
    def test_of_the_model_server_is_waited_out(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceUnavailable("down")), Script(error=InferenceUnavailable("down")))
        patient = world.with_runner(outage=timedelta(seconds=20))

        assert patient.run(job.id) is Outcome.ENDED

        assert world.state(job).status is JobStatus.COMPLETED
        assert world.state(job).attempt == 1

    def test_that_lasts_hands_the_job_back_without_counting_the_attempt(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.up = False
        impatient = world.with_runner(outage=timedelta(milliseconds=20))

        for _ in range(20):
            assert impatient.run(job.id) is Outcome.RELEASED
        world.client.up = True

        released = world.state(job)
        assert (released.status, released.attempt) == (JobStatus.QUEUED, 0)
        assert billing.services.balance(rich).held == job.credits
        assert world.runner.run(job.id) is Outcome.ENDED
        assert world.state(job).status is JobStatus.COMPLETED

    def test_of_the_image_store_hands_the_job_back(self, world: World, rich: Account, monkeypatch: Any) -> None:
        job = world.submit(rich)

        def away(_path: str, _content: object) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(world.images, "write", away)

        assert world.runner.run(job.id) is Outcome.RELEASED
        assert world.state(job).status is JobStatus.QUEUED

    def test_of_whoever_is_told_the_end_loses_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        def away(_job_id: object) -> None:
            raise Unavailable("away")

        outcome = world.with_runner(announce_end=away).run(job.id)

        assert outcome is Outcome.ENDED
        assert world.state(job).status is JobStatus.COMPLETED
        assert world.service.settle(job.id, now=NOW)


class TestCancel:
    def test_before_the_work_leaves_nothing_to_do(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.service.cancel(job, now=NOW)

        assert world.runner.run(job.id) is Outcome.DROPPED

        assert world.client.requests == []
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_during_the_work_stops_the_model_and_costs_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(gate=threading.Event()))
        outcomes: list[Outcome] = []
        worker = threading.Thread(target=lambda: outcomes.append(world.runner.run(job.id)))
        worker.start()
        wait_for(lambda: world.client.requests)

        world.service.cancel(job, now=NOW)
        worker.join(5)

        assert outcomes == [Outcome.LOST]
        assert world.state(job).status is JobStatus.CANCELLED
        assert sql(job).status == "cancelled"
        assert not any(path.startswith("outputs/") for path in world.images.objects)
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)


class TestAStoppingWorker:
    def test_hands_back_what_it_cannot_finish(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(gate=threading.Event()))
        outcomes: list[Outcome] = []
        worker = threading.Thread(target=lambda: outcomes.append(world.runner.run(job.id)))
        worker.start()
        wait_for(lambda: world.client.requests)

        world.draining.set()
        worker.join(5)

        assert outcomes == [Outcome.RELEASED]
        assert world.state(job).status is JobStatus.QUEUED
        assert world.state(job).attempt == 0


class TestAPoisonousJob:
    def test_is_parked_after_five_attempts_and_costs_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        for _ in range(5):
            state, version = world.states.read(job.id)
            begun = state.claim(now=world.clock(), lease=timedelta(seconds=60), max_attempts=5)
            world.states.write(begun, expected=version)
            world.clock.pass_(seconds=61)

        assert world.runner.run(job.id) is Outcome.ENDED

        state = world.state(job)
        assert (state.status, state.error_code) == (JobStatus.FAILED, "attempts_exhausted")
        assert world.client.requests == []
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)


class TestAPhotoThatKillsTheModelServer:
    def test_is_parked_after_five_attempts_and_costs_nothing(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.default = Script(error=InferenceUnavailable("died", started=True))
        runner = world.with_runner(crash_pause=timedelta(seconds=0))

        assert runner.run(job.id) is Outcome.ENDED

        state = world.state(job)
        assert (state.status, state.error_code, state.attempt) == (JobStatus.FAILED, "attempts_exhausted", 5)
        assert len(world.client.requests) == 5
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_costs_a_bystander_one_attempt(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(error=InferenceUnavailable("died", started=True)))
        runner = world.with_runner(crash_pause=timedelta(seconds=0.1))

        assert runner.run(job.id) is Outcome.ENDED

        state = world.state(job)
        assert (state.status, state.attempt) == (JobStatus.COMPLETED, 2)
        assert state.output is not None
        assert state.output.path == f"outputs/{job.id}/2/result.png"


class TestProgress:
    def test_is_written_once_for_all_that_was_said_since_the_last_write(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, written, write = world.submit(rich), [], world.states.write
        world.client.will(Script(progress=[Progress(step / 1000) for step in range(1000)], image=b"r", info=INFO))
        # No interval goes by while the model works: what is left is what no job can do without.
        terms = replace(world.runner.terms, write_every=timedelta(seconds=60))

        def note(state: JobState, *, expected: Hashable) -> Hashable:
            written.append((state.status, state.attempt))
            return write(state, expected=expected)

        monkeypatch.setattr(world.states, "write", note)

        world.with_runner(terms=terms).run(job.id)

        assert written == [(JobStatus.PROCESSING, 1), (JobStatus.COMPLETED, 1)]

    def test_is_written_while_the_model_works_and_never_falls(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        gate = threading.Event()
        steps = [Progress(0.0), Progress(0.3, b"preview"), Progress(0.6)]
        world.client.will(Script(progress=steps, gate=gate, image=b"r", info=INFO))
        seen: list[int] = []
        worker = threading.Thread(target=lambda: world.runner.run(job.id))
        worker.start()

        wait_for(lambda: (seen.append(world.state(job).progress), seen[-1] > 50)[1])
        preview = world.state(job).preview
        gate.set()
        worker.join(5)

        assert seen == sorted(seen)
        assert preview == b"preview"

    def test_ends_with_a_preview_of_the_result(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        steps = [Progress(0.0), Progress(0.9, b"half of it")]
        world.client.will(Script(progress=steps, image=b"r", info=INFO, preview=b"all of it"))

        world.runner.run(job.id)

        assert world.state(job).preview == b"all of it"

    def test_ends_without_the_preview_of_half_a_result(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        world.client.will(Script(progress=[Progress(0.5, b"half of it")], image=b"r", info=INFO))

        world.runner.run(job.id)

        assert world.state(job).preview is None
