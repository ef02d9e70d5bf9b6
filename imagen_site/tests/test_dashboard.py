"""The admin's first page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing import services
from billing.models import CreditBalance
from imagen_site import dashboard
from inference.fake_client import FakeInferenceClient
from jobs import adapters
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.state_store.memory import MemoryStateStore
from jobs.states import JobStatus, StoredImage, queued

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from pytest_django import Settings

    from accounts.models import User

LEASE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def states(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStateStore]:
    states = MemoryStateStore()
    monkeypatch.setattr(adapters, "state_store", lambda: states)
    monkeypatch.setattr(adapters, "inference_client", lambda: FakeInferenceClient(models=["upscale"]))
    cache.clear()
    yield states
    cache.clear()


def job(person: User, states: MemoryStateStore, *, age: float = 30, **columns: Any) -> Job:
    at = timezone.now() - timedelta(seconds=age)
    image = {"input_width": 9, "input_height": 9, "input_bytes": 9, "input_format": "png", "input_path": "x"}
    made = Job.objects.create(
        account=person.account,
        operation="upscale",
        params={},
        credits=1,
        requested_at=at,
        expires_at=at,
        filename="a",
        **image,
        **columns,
    )
    if made.settled_at is None:
        picture = StoredImage("x", 9, 9, 9, "png")
        states.create(
            queued(job_id=made.id, owner="a", operation="upscale", params={}, image=picture, now=at, expires_at=at)
        )
    return made


def failed(person: User, states: MemoryStateStore, code: str, *, ago: timedelta) -> Job:
    ended = timezone.now() - ago
    return job(person, states, status=JobStatus.FAILED, error_code=code, settled_at=ended, completed_at=ended)


def state(operator: Client) -> Any:
    return operator.get("/admin/").context["site_state"]


class TestTheFirstPage:
    def test_counts_what_waits_and_runs_and_for_how_long(
        self, operator: Client, alice: User, states: MemoryStateStore
    ) -> None:
        job(alice, states, age=300)
        job(alice, states, age=20)
        running = job(alice, states, age=400)
        live, version = states.read(running.id)
        states.write(live.claim(now=timezone.now(), lease=LEASE, max_attempts=5), expected=version)

        told = state(operator)

        assert (told["queued"], told["processing"]) == (2, 1)
        assert 299 < told["oldest_seconds"] < 360
        assert [(row.operation, row.ready) for row in told["queues"]][:2] == [("upscale", True), ("enhance", False)]

    def test_says_nothing_of_models_that_it_may_not_ask(self, operator: Client, settings: Settings) -> None:
        settings.IMAGEN = replace(settings.IMAGEN, triton_url="")

        answer = operator.get("/admin/")

        assert {row.ready for row in answer.context["site_state"]["queues"]} == {None}
        assert b"does not answer" not in answer.content

    def test_counts_the_failures_of_an_hour_by_their_code(
        self, operator: Client, alice: User, states: MemoryStateStore
    ) -> None:
        for code, minutes in (("internal", 5), ("internal", 50), ("timeout", 5), ("internal", 70)):
            failed(alice, states, code, ago=timedelta(minutes=minutes))

        told = state(operator)

        assert [(each["error_code"], each["number"]) for each in told["failures"]] == [("internal", 2), ("timeout", 1)]

    def test_says_that_there_are_more_than_it_counts(
        self, operator: Client, alice: User, states: MemoryStateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard, "MAX_LIVE", 1)
        job(alice, states)
        job(alice, states)

        told = state(operator)

        assert (told["queued"], told["more"]) == (1, True)

    def test_shows_a_ledger_that_disagrees(self, operator: Client, alice: User) -> None:
        services.grant(account=alice.account, credits=5, reference="start", now=timezone.now())
        CreditBalance.objects.update(credits=6)

        assert "1 wrong" in operator.get("/admin/").content.decode()

    def test_is_shown_when_the_state_store_is_away(
        self, operator: Client, alice: User, states: MemoryStateStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_job_ids: object) -> Any:
            raise Unavailable("away")

        job(alice, states)
        monkeypatch.setattr(states, "read_many", away)

        answer = operator.get("/admin/")

        assert answer.status_code == 200
        assert "The state store does not answer" in answer.content.decode()
