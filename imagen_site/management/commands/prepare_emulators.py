"""
Make in the emulators what Terraform makes in the cloud beside the job queues: topics, pushes and the bucket.

The queues of the jobs are made by the transport, when it first meets them (imagen_site/brokers/pubsub.py).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from google.api_core.exceptions import Conflict
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from imagen_site.brokers.pubsub import DEAD_LETTER_TOPIC
from imagen_site.brokers.pubsub_service import Pubsub
from jobs import job_events

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from imagen_site.config import Cloud

# Topic -> where its pushes go, in the webhooks service (imagen_site/urls_webhooks.py).
PUSHES = {job_events.TOPIC: "/push/job-events", DEAD_LETTER_TOPIC: "/push/dead-letter-jobs"}
# The longest that Pub/Sub waits for the answer to a push before it sends it again.
_ACK_SECONDS = 60


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("webhooks", metavar="URL", help='of the webhooks service, "http://127.0.0.1:8089"')

    def handle(self, *, webhooks: str, **options: Any) -> None:  # noqa: ANN401 - Django passes its own options too
        told: Cloud | None = settings.IMAGEN.cloud
        if told is None or settings.IMAGEN.profile != "emulators":
            raise CommandError(
                "This is for the emulators: in the cloud these are Terraform's, and here there are none."
            )
        pubsub = Pubsub(project=told.project, emulator_host=told.pubsub_emulator)
        for topic, path in PUSHES.items():
            address = f"{webhooks.rstrip('/')}{path}?token={quote(told.push_token)}"
            pubsub.create_push(topic, address=address, ack_seconds=_ACK_SECONDS)
        _ensure_bucket(told)


def _ensure_bucket(told: Cloud) -> None:
    client = Client(
        project=told.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": told.storage_emulator},
    )
    # Its objects are kept in a folder, so it may be there.
    with suppress(Conflict):
        client.create_bucket(told.bucket)
