"""The clients of Google's services, made from what this process was told; imported in the cloud's profiles alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.auth.transport.requests import Request
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from jobs.job_events import PubSubJobEvents
from jobs.push_auth import Certificates, OidcTokens, SharedToken
from jobs.state_store.firestore import FirestoreStateStore
from jobs.state_store.firestore_channel import FirestoreDatabase
from jobs.watch_firestore import FirestoreChangeSource

if TYPE_CHECKING:
    from imagen_site.config import Cloud
    from jobs.job_events import JobEvents
    from jobs.push_auth import PushAuth
    from jobs.state_store import JobStateStore
    from jobs.watch import ChangeSource

_OPTIONS = (
    # Or the wait for a server that was away grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),
)


def state_store(cloud: Cloud) -> JobStateStore:
    return FirestoreStateStore(_firestore(cloud))


def change_source(cloud: Cloud) -> ChangeSource:
    return FirestoreChangeSource(_firestore(cloud))


def _firestore(cloud: Cloud) -> FirestoreDatabase:
    return FirestoreDatabase(
        project=cloud.project, database=cloud.firestore_database, emulator_host=cloud.firestore_emulator
    )


def job_events(cloud: Cloud) -> JobEvents:
    return PubSubJobEvents(_publisher(cloud), project=cloud.project)


def push_auth(cloud: Cloud | None) -> PushAuth:
    if cloud is None or cloud.push_token:
        # On one machine nobody pushes: without a token it takes none.
        return SharedToken(cloud.push_token if cloud else "")
    certificates = Certificates(Request)
    return OidcTokens(audience=cloud.push_audience, accounts=cloud.push_accounts, certificates=certificates)


def _publisher(cloud: Cloud) -> PublisherClient:
    channel = (
        grpc.insecure_channel(cloud.pubsub_emulator, options=_OPTIONS)
        if cloud.pubsub_emulator
        else PublisherGrpcTransport.create_channel(options=_OPTIONS)
    )
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
