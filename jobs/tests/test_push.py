from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

import billing.services
from billing.models import LedgerEntry
from jobs import adapters
from jobs.errors import Unavailable
from jobs.job_events import event
from jobs.models import Job
from jobs.states import JobStatus
from jobs.sweep import Sweeper
from jobs.tests.google import CertificatesPage, Key, pushed
from jobs.tests.test_push_auth import google, tokens_of

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper as Settings
    from rest_framework.response import Response

    from accounts.models import Account
    from jobs.tests.conftest import World

pytestmark = pytest.mark.urls("imagen_site.urls_webhooks")

JOB_EVENTS, DEAD_LETTERS, SWEEP = "/push/job-events", "/push/dead-letter-jobs", "/push/sweep"
ENDPOINTS = pytest.mark.parametrize("endpoint", [JOB_EVENTS, DEAD_LETTERS, SWEEP])


@pytest.fixture
def cloud(adapted: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The webhooks service over this world; the world's workers announce nothing by themselves."""
    monkeypatch.setattr(adapters, "push_auth", lambda: tokens_of(CertificatesPage([google()])))
    sweeper = Sweeper(
        service=adapted.service, uploads=adapted.uploads, max_attempts=5, republish_after=timedelta(minutes=10)
    )
    monkeypatch.setattr(adapters, "sweeper", lambda: sweeper)
    adapted.runner = adapted.with_runner(announce_end=lambda job_id: None)
    return adapted


def push(endpoint: str, body: Any, *, token: str | None = None) -> Response:
    client = APIClient(headers={"Authorization": f"Bearer {token or google().token()}"})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(endpoint, content, content_type="application/json")


def outcome(answer: Response) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.json()["outcome"])


def dead_letter(job_id: object, **kwargs: Any) -> dict[str, Any]:
    """What Celery published to a job's topic, and Pub/Sub to that of dead letters after a hundred deliveries."""
    body = base64.b64encode(json.dumps([[], {"job_id": str(job_id), **kwargs}, {}]).encode()).decode()
    message = {"body": body, "headers": {"task": "jobs.run_job"}, "properties": {"body_encoding": "base64"}}
    return pushed(json.dumps(message).encode(), CloudPubSubDeadLetterSourceDeliveryCount="100")


def kinds(job: Job) -> list[str]:
    entries = LedgerEntry.objects.filter(reference=str(job.id)).order_by("id")
    return [str(kind) for kind in entries.values_list("kind", flat=True)]


def attempted(world: World, job: Job, times: int) -> None:
    """Let workers begin a job and die, their lease run out."""
    for _ in range(times):
        state, version = world.states.read(job.id)
        claimed = state.claim(now=world.clock(), lease=timedelta(seconds=60), max_attempts=5)
        world.states.write(claimed, expected=version)
        world.clock.pass_(seconds=61)


@pytest.fixture
def ended(cloud: World, rich: Account) -> Job:
    """A completed job that nobody has settled yet."""
    job = cloud.submit(rich)
    cloud.runner.run(job.id)
    assert kinds(job) == ["hold"]
    return job


class TestAPushWithoutAValidToken:
    @ENDPOINTS
    @pytest.mark.parametrize("token", ["", "Bearer x.y.z", "Basic abc"], ids=repr)
    def test_is_answered_401_and_changes_nothing(self, endpoint: str, token: str, ended: Job) -> None:
        headers = {"Authorization": token} if token else {}
        for body in (pushed(event(ended.id)), dead_letter(ended.id)):
            answer = APIClient(headers=headers).post(endpoint, body, format="json")

            assert answer.status_code == 401
            assert answer.json()["code"] == "invalid_push_token"
            assert answer["WWW-Authenticate"].startswith("Bearer")
        assert kinds(ended) == ["hold"]

    def test_is_not_read_at_all(self, ended: Job) -> None:
        answer = push(JOB_EVENTS, b"x" * 300_000, token=Key().token())

        assert answer.status_code == 401

    def test_comes_again_while_googles_keys_are_away(self, ended: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        away = tokens_of(CertificatesPage([google()], away=True))
        monkeypatch.setattr(adapters, "push_auth", lambda: away)

        assert push(JOB_EVENTS, pushed(event(ended.id))).status_code == 503
        assert kinds(ended) == ["hold"]


class TestAnEndOfAJob:
    def test_settles_it(self, ended: Job, rich: Account) -> None:
        answer = push(JOB_EVENTS, pushed(event(ended.id)))

        ended.refresh_from_db()
        assert outcome(answer) == "settled"
        assert (ended.status, kinds(ended)) == (JobStatus.COMPLETED, ["hold", "capture"])
        assert billing.services.audit(rich).agrees

    def test_that_comes_again_has_no_effect(self, ended: Job) -> None:
        push(JOB_EVENTS, pushed(event(ended.id)))
        before = Job.objects.values().get(id=ended.id)

        answers = [outcome(push(JOB_EVENTS, pushed(event(ended.id)))) for _ in range(3)]

        assert answers == ["no_effect"] * 3
        assert Job.objects.values().get(id=ended.id) == before
        assert kinds(ended) == ["hold", "capture"]

    def test_that_comes_before_the_end_has_no_effect(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)

        assert outcome(push(JOB_EVENTS, pushed(event(job.id)))) == "no_effect"
        assert (cloud.state(job).status, kinds(job)) == (JobStatus.QUEUED, ["hold"])

    def test_that_nobody_knows_is_taken_and_counted(self, cloud: World, rich: Account) -> None:
        before = counted("job-events", "unknown_job")

        assert outcome(push(JOB_EVENTS, pushed(event(uuid4())))) == "unknown_job"
        assert counted("job-events", "unknown_job") == before + 1

    @pytest.mark.parametrize("away", [Unavailable("away"), OperationalError("away")], ids=["store", "database"])
    def test_comes_again_after_an_outage(self, ended: Job, away: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        def raises(*_: object, **__: object) -> None:
            raise away

        with monkeypatch.context() as patch:
            patch.setattr(type(adapters.job_service()), "settle", raises)
            first = push(JOB_EVENTS, pushed(event(ended.id)))
        second = push(JOB_EVENTS, pushed(event(ended.id)))

        assert first.status_code == 503
        assert first.json()["code"] == "service_unavailable"
        assert outcome(second) == "settled"


def counted(kind: str, what: str) -> float:
    return REGISTRY.get_sample_value("imagen_push_events_total", {"kind": kind, "outcome": what}) or 0.0


class TestAForeignMessage:
    @pytest.mark.parametrize("endpoint", [JOB_EVENTS, DEAD_LETTERS])
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{not json",
            b"\xff\xfe",
            b"[" * 100_000,
            b"null",
            b"[]",
            {"message": None},
            {"message": {"data": 7}},
            {"message": {"data": "%%%"}},
            {"message": {"data": "", "attributes": [1]}},
            pushed(b""),
            pushed(b"{}"),
            pushed(b'{"job_id": null}'),
            pushed(b'{"job_id": ["x"]}'),
            pushed(b'{"job_id": "../../etc"}'),
            pushed(b'{"body": 7}'),
            pushed(b'{"body": "bnVsbA=="}'),
            b"x" * 300_000,
        ],
        ids=lambda body: str(body)[:40],
    )
    def test_is_taken_and_counted(self, endpoint: str, body: Any, cloud: World, db: None) -> None:
        kind = endpoint.removeprefix("/push/")
        before = counted(kind, "foreign")

        assert outcome(push(endpoint, body)) == "foreign"
        assert counted(kind, "foreign") == before + 1

    def test_of_the_other_topic_is_foreign_too(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)

        assert outcome(push(DEAD_LETTERS, pushed(event(job.id)))) == "foreign"
        assert outcome(push(JOB_EVENTS, dead_letter(job.id))) == "foreign"


class TestADeadLetter:
    @pytest.mark.parametrize("attempts", [0, 4])
    def test_of_a_job_that_may_still_run_is_published_again(self, attempts: int, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)
        attempted(cloud, job, attempts)
        published = len(cloud.queue.published)

        assert outcome(push(DEAD_LETTERS, dead_letter(job.id))) == "republished"

        assert cloud.queue.published[published:] == [(job.id, "upscale")]
        assert cloud.state(job).attempt == attempts
        assert kinds(job) == ["hold"]

    def test_of_a_job_begun_too_often_ends_it_and_gives_the_hold_back(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)
        attempted(cloud, job, 5)

        first, second = (outcome(push(DEAD_LETTERS, dead_letter(job.id))) for _ in range(2))

        job.refresh_from_db()
        assert (first, second) == ("failed", "no_effect")
        assert (job.status, job.error_code) == (JobStatus.FAILED, "attempts_exhausted")
        assert kinds(job) == ["hold", "release"]
        assert cloud.state(job).status is JobStatus.FAILED

    def test_of_a_job_handed_back_twenty_times_is_published_again(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)
        for _ in range(20):
            state, version = cloud.states.read(job.id)
            claimed = state.claim(now=cloud.clock(), lease=timedelta(seconds=60), max_attempts=5)
            version = cloud.states.write(claimed, expected=version)
            cloud.states.write(claimed.release(now=cloud.clock.pass_(seconds=60)), expected=version)

        assert outcome(push(DEAD_LETTERS, dead_letter(job.id))) == "republished"
        assert cloud.state(job).status is JobStatus.QUEUED

    def test_of_a_job_that_a_worker_holds_is_left_to_it(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)
        attempted(cloud, job, 4)
        state, version = cloud.states.read(job.id)
        far = timedelta(days=10_000)
        cloud.states.write(state.claim(now=cloud.clock(), lease=far, max_attempts=5), expected=version)
        published = len(cloud.queue.published)

        assert outcome(push(DEAD_LETTERS, dead_letter(job.id))) == "no_effect"
        assert cloud.state(job).status is JobStatus.PROCESSING
        assert len(cloud.queue.published) == published

    def test_of_a_job_that_has_ended_settles_it(self, ended: Job) -> None:
        assert outcome(push(DEAD_LETTERS, dead_letter(ended.id))) == "settled"
        assert kinds(ended) == ["hold", "capture"]

    def test_of_a_newer_site_is_understood(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)

        assert outcome(push(DEAD_LETTERS, dead_letter(job.id, priority="high"))) == "republished"

    def test_comes_again_while_the_queue_is_away(
        self, cloud: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(**_: object) -> None:
            raise Unavailable("away")

        job = cloud.submit(rich)
        with monkeypatch.context() as patch:
            patch.setattr(cloud.queue, "publish", away)
            first = push(DEAD_LETTERS, dead_letter(job.id))

        assert first.status_code == 503
        assert outcome(push(DEAD_LETTERS, dead_letter(job.id))) == "republished"

    def test_of_an_operation_that_is_no_more_ends_it(self, cloud: World, rich: Account) -> None:
        job = cloud.submit(rich)
        Job.objects.filter(id=job.id).update(operation="colourise")

        assert outcome(push(DEAD_LETTERS, dead_letter(job.id))) == "failed"
        assert kinds(job) == ["hold", "release"]


class TestTheSweep:
    def test_settles_what_no_event_told_of(self, ended: Job) -> None:
        answer = push(SWEEP, b"")

        assert answer.status_code == 200
        assert answer.json()["settled"] == 1
        assert kinds(ended) == ["hold", "capture"]


class TestTheWebhooksService:
    def test_has_no_page_and_no_api(self, db: None, settings: Settings) -> None:
        settings.IMAGEN = replace(settings.IMAGEN, service="webhooks")
        client = APIClient()

        for path in ("/", "/admin/", "/accounts/login", "/api/v1/jobs", "/api/v1/docs", "/files/x"):
            assert client.get(path).json()["code"] == "not_found"
        assert client.get("/livez").status_code == 200

    @ENDPOINTS
    def test_is_pushed_to_and_not_looked_at(self, endpoint: str, cloud: World, db: None) -> None:
        client = APIClient(headers={"Authorization": f"Bearer {google().token()}"})

        assert client.get(endpoint).status_code == 405
