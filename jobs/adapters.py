"""
Which implementation of each protocol runs here. Only entry points ask; all else is handed what it needs.

Google's libraries are imported where they are used and nowhere else: one machine starts without them.
"""

from __future__ import annotations

import asyncio
import threading
from functools import cache
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import default_storage
from django.db import connections
from django.utils import timezone

from billing.prices import PRICES
from inference.triton_client import TritonInferenceClient
from jobs.direct_uploads import DirectUploads
from jobs.fetch import ImageFetcher
from jobs.image_store import DjangoImageStore, in_our_words
from jobs.lease import LeaseTerms
from jobs.limits import limits_of
from jobs.metrics import RunnerMetrics
from jobs.queue import CeleryJobQueue
from jobs.runner import Runner
from jobs.services import JobService
from jobs.state_store.sql import SqlStateStore
from jobs.sweep import Sweeper
from jobs.upload_store import FileUploadStore
from jobs.watch import Hub, SqlChangeSource

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from imagen_site.config import Cloud
    from inference.client import InferenceClient
    from jobs.cloud_storage import BucketStorage
    from jobs.image_store import FolderStorage, ImageStore, SignedFileStorage
    from jobs.job_events import JobEvents
    from jobs.links import Link
    from jobs.observer import RunnerObserver
    from jobs.push_auth import PushAuth
    from jobs.queue import JobQueue
    from jobs.state_store import JobStateStore
    from jobs.upload_store import UploadStore
    from jobs.watch import ChangeSource

# Set once, when this process is asked to stop and its running jobs are to be handed back.
draining = threading.Event()
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


@cache
def state_store() -> JobStateStore:
    if settings.IMAGEN.cloud is None:
        return SqlStateStore()
    from jobs import cloud

    return cloud.state_store(settings.IMAGEN.cloud)


@cache
def image_store() -> ImageStore:
    return DjangoImageStore(cast("FolderStorage", default_storage))


def file_storage() -> SignedFileStorage:
    """Return the storage whose links this site serves itself."""
    return cast("SignedFileStorage", default_storage)


def address_of(link: Link) -> str | None:
    """Return where a link leads to, None where this site serves the file itself; raises Unavailable."""
    with in_our_words(link.path):
        return cast("FolderStorage", default_storage).address_of(link)


@cache
def job_queue() -> JobQueue:
    return CeleryJobQueue(current_app)


@cache
def job_events() -> JobEvents:
    from jobs import cloud

    return cloud.job_events(_told_of_the_cloud())


@cache
def push_auth() -> PushAuth:
    from jobs import cloud

    return cloud.push_auth(settings.IMAGEN.cloud)


@cache
def inference_client() -> InferenceClient:
    if not settings.IMAGEN.tracing:
        return TritonInferenceClient(settings.IMAGEN.triton_url)
    from jobs.spans import traced

    return TritonInferenceClient(settings.IMAGEN.triton_url, wrap=traced)


def _observer() -> RunnerObserver:
    if not settings.IMAGEN.tracing:
        return RunnerMetrics()
    from jobs.spans import RunnerSpans

    return RunnerSpans(RunnerMetrics())


@cache
def job_service() -> JobService:
    return JobService(
        states=state_store(),
        queue=job_queue(),
        images=image_store(),
        fetcher=ImageFetcher(patience=settings.IMAGEN.image_url_patience),
        prices=PRICES,
        limits_of=limits_of,
        retention=settings.IMAGEN.job_retention,
    )


@cache
def direct_uploads() -> DirectUploads:
    return DirectUploads(job_service(), _upload_store(), lifetime=settings.IMAGEN.upload_lifetime)


def upload_door() -> FileUploadStore | None:
    """Return where this site itself takes uploads, None where clients send them to the bucket."""
    return FileUploadStore(file_storage()) if settings.IMAGEN.cloud is None else None


def _upload_store() -> UploadStore:
    if settings.IMAGEN.cloud is None:
        return FileUploadStore(file_storage())
    # An eighth of a second and twelve megabytes that one machine does without.
    from jobs.cloud_uploads import BucketUploadStore

    return BucketUploadStore(cast("BucketStorage", default_storage))


@cache
def sweeper() -> Sweeper:
    return Sweeper(
        service=job_service(),
        uploads=direct_uploads(),
        max_attempts=settings.IMAGEN.job_attempts,
        republish_after=settings.IMAGEN.job_republish,
    )


@cache
def runner() -> Runner:
    config = settings.IMAGEN
    return Runner(
        states=state_store(),
        images=image_store(),
        client=inference_client(),
        announce_end=_settle_here if config.cloud is None else job_events().announce,
        clock=timezone.now,
        terms=LeaseTerms(
            duration=config.job_lease,
            renew_every=config.job_renew,
            write_every=config.job_write_every,
        ),
        outage=config.job_outage,
        max_attempts=config.job_attempts,
        inference_timeout=config.inference_timeout,
        draining=draining,
        on_thread_end=connections.close_all,
        observer=_observer(),
    )


def hub() -> Hub:
    """Return the hub of the running event loop: a process has one loop, a test run many."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub(_change_source())
    return _hubs[loop]


def _change_source() -> ChangeSource:
    if settings.IMAGEN.cloud is None:
        return SqlChangeSource(every=settings.IMAGEN.watch_every)
    from jobs import cloud

    return cloud.change_source(settings.IMAGEN.cloud)


def sign_link(path: str, *, filename: str) -> str:
    lifetime: timedelta = settings.IMAGEN.link_lifetime
    return image_store().link(path, filename=filename, lifetime=lifetime)


def _told_of_the_cloud() -> Cloud:
    told: Cloud | None = settings.IMAGEN.cloud
    if told is None:
        raise ImproperlyConfigured("This exists in the cloud's profiles only; see IMAGEN_PROFILE.")
    return told


def _settle_here(job_id: UUID) -> None:
    # A worker of the local profile has SQL, and settles what it ends.
    job_service().settle(job_id, now=timezone.now())
