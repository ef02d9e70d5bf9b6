"""The clients of Google's services, made from what this process was told; imported in the cloud's profiles alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from google.auth.transport.requests import Request
from google.cloud.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from jobs.job_events import PubSubJobEvents
from jobs.push_auth import Certificates, OidcTokens, SharedToken

if TYPE_CHECKING:
    from imagen_site.config import Cloud
    from jobs.job_events import JobEvents
    from jobs.push_auth import PushAuth


def job_events(cloud: Cloud) -> JobEvents:
    return PubSubJobEvents(_publisher(cloud), project=cloud.project)


def push_auth(cloud: Cloud | None) -> PushAuth:
    if cloud is None or cloud.push_token:
        # On one machine nobody pushes: without a token it takes none.
        return SharedToken(cloud.push_token if cloud else "")
    certificates = Certificates(Request)
    return OidcTokens(audience=cloud.push_audience, accounts=cloud.push_accounts, certificates=certificates)


def _publisher(cloud: Cloud) -> PublisherClient:
    if not cloud.pubsub_emulator:
        return PublisherClient()
    # As the client itself would do, had it read the environment; it is told here, like everything else.
    channel = grpc.insecure_channel(cloud.pubsub_emulator)
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
