"""A job service and a runner over memory: what the unit tests of this app share."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.test import Client
from PIL import Image
from rest_framework.test import APIClient

import billing.services
from billing.models import LedgerEntry
from billing.prices import PRICES
from inference.fake_client import FakeInferenceClient, Script
from jobs import adapters
from jobs.direct_uploads import DirectUploads
from jobs.fetch import ImageFetcher
from jobs.image_store import MemoryImageStore
from jobs.lease import LeaseTerms
from jobs.limits import limits_of
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.queue import ListJobQueue
from jobs.runner import Runner
from jobs.services import JobService
from jobs.state_store.memory import MemoryStateStore
from jobs.upload_store import MemoryUploadStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import Account, User
    from jobs.states import JobState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INFO = {
    "engine": {"name": "fake", "version": "1", "weights_sha256": "0" * 64},
    "device": {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"},
    "batch_size": 3,
    "seconds": {"decode": 0.05, "infer": 2.1, "encode": 0.02},
    "parameters": {"seed": 7, "steps": 30},
    "checks": {"colour_shift": 0.4},
    "warnings": [],
    "format": "png",
    "width": 256,
    "height": 192,
}
# The same as the page and the admin tell it.
MADE = (
    "<dt>Engine</dt><dd>fake 1</dd>",
    "<dt>Device</dt><dd>Tesla T4, fp16; its passes were shared by 3 requests</dd>",
    "<dt>Settings used</dt><dd>seed 7, steps 30</dd>",
    "<dt>Checks</dt><dd>colour shift 0.4</dd>",
    "<dt>Seconds in the model</dt><dd>decode 0.05, infer 2.1, encode 0.02</dd>",
)


def png(width: int = 64, height: int = 48, color: tuple[int, ...] = (200, 120, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> datetime:
        self.now += timedelta(**time)
        return self.now


@dataclass
class World:
    """Everything in memory but SQL, and short names for what tests do all the time."""

    clock: Clock = field(default_factory=Clock)
    states: MemoryStateStore = field(default_factory=MemoryStateStore)
    images: MemoryImageStore = field(default_factory=MemoryImageStore)
    queue: ListJobQueue = field(default_factory=ListJobQueue)
    client: FakeInferenceClient = field(default_factory=lambda: FakeInferenceClient(Script(image=b"result", info=INFO)))
    fetcher: ImageFetcher = field(default_factory=lambda: ImageFetcher(patience=timedelta(seconds=2)))
    draining: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.upload_store = MemoryUploadStore(self.images)
        self.service = JobService(
            states=self.states,
            queue=self.queue,
            images=self.images,
            fetcher=self.fetcher,
            prices=PRICES,
            limits_of=limits_of,
            retention=timedelta(days=7),
        )
        self.uploads = DirectUploads(self.service, self.upload_store, lifetime=timedelta(hours=1))
        self.runner = Runner(
            states=self.states,
            images=self.images,
            client=self.client,
            announce_end=lambda job_id: self.service.settle(job_id, now=self.clock()),
            clock=self.clock,
            terms=LeaseTerms(
                duration=timedelta(seconds=60),
                renew_every=timedelta(milliseconds=50),
                write_every=timedelta(milliseconds=10),
            ),
            outage=timedelta(seconds=0.3),
            max_attempts=5,
            inference_timeout=timedelta(seconds=30),
            draining=self.draining,
            on_thread_end=lambda: None,
        )

    def with_runner(self, **changes: Any) -> Runner:
        return replace(self.runner, **changes)

    def submit(self, account: Account, operation: str = "upscale", **options: Any) -> Job:
        submission = self.service.understand(
            account=account,
            operation=OPERATIONS[operation],
            values=options.pop("values", {}),
            content=options.pop("content", png()),
            filename=options.pop("filename", "holiday.png"),
            **options,
        )
        return self.service.submit(submission, now=self.clock())

    def state(self, job: Job | UUID) -> JobState:
        return self.states.read(job if isinstance(job, UUID) else job.id)[0]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rich(alice: User) -> Account:
    """Alice's account with 100 credits."""
    billing.services.grant(account=alice.account, credits=100, reference="test", now=NOW)
    return alice.account


@pytest.fixture
def adapted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The entry points of this process work on this world's memory."""
    for name, what in {
        "state_store": world.states,
        "image_store": world.images,
        "job_queue": world.queue,
        "inference_client": world.client,
        "job_service": world.service,
        "direct_uploads": world.uploads,
        "runner": world.runner,
    }.items():
        monkeypatch.setattr(adapters, name, lambda what=what: what)
    return world


@pytest.fixture
def api(alice_key: str) -> APIClient:
    """A program that asks with a key of alice's account."""
    return APIClient(headers={"Authorization": f"Bearer {alice_key}"})


@pytest.fixture
def nothing_happened(adapted: World, rich: Account) -> Iterator[None]:
    """What the test does must leave no job, no credit moved, no picture and no message."""
    yield
    assert not Job.objects.exists()
    assert not LedgerEntry.objects.exclude(kind="grant").exists()
    assert not adapted.images.objects
    assert not adapted.queue.published


@pytest.fixture
def browser(client: Client, alice: User, rich: Account, adapted: World) -> Client:
    """Alice's browser, signed in."""
    client.force_login(alice)
    return client


@pytest.fixture
def strangers_browser(charlie: User) -> Client:
    client = Client()
    client.force_login(charlie)
    return client


@pytest.fixture
def jobs(adapted: World, rich: Account, alice_key: str) -> list[Job]:
    """A queued, a running, a completed and a cancelled job of alice's account."""
    queued, completed, cancelled, running = (
        adapted.submit(rich, filename=f"{name}.png") for name in ("beach", "city", "dog", "elk")
    )
    adapted.runner.run(completed.id)
    adapted.service.cancel(cancelled, now=NOW)
    state, version = adapted.states.read(running.id)
    claimed = state.claim(now=adapted.clock(), lease=adapted.runner.terms.duration, max_attempts=5)
    adapted.states.write(claimed, expected=version)
    for job in (queued, completed, cancelled, running):
        job.refresh_from_db()
    return [queued, running, completed, cancelled]
