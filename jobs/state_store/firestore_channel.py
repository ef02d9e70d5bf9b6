"""
Connections to Firestore, by Google's generated clients: one for calls, one for streams on an event loop.

Not by `google.cloud.firestore`, whose client takes the emulator's address from the environment, hides the channel, and
has no stream that survives an outage (docs/decisions/0018-firestore-by-the-generated-client.md).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import grpc
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient, FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import (
    FirestoreGrpcAsyncIOTransport,
    FirestoreGrpcTransport,
)

from jobs.state_store.firestore_documents import DatabaseName

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    # A connection that died without a word is noticed within 40 s; Firestore refuses more frequent questions.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The default waits up to two minutes before it looks for a server that was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The pool that channels share outlives a fork: a child's new channel would be given its parent's connection.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True)
class FirestoreDatabase:
    """
    A database and where it answers.

    emulator_host: "host:port" of an emulator, which asks for no credentials; empty, Google's own with those of this
    machine.
    """

    project: str
    database: str = "(default)"
    emulator_host: str = ""

    @property
    def name(self) -> DatabaseName:
        return DatabaseName(self.project, self.database)

    def client(self) -> FirestoreClient:
        channel = (
            grpc.insecure_channel(self.emulator_host, options=_OPTIONS)
            if self.emulator_host
            else FirestoreGrpcTransport.create_channel(options=_OPTIONS)
        )
        return FirestoreClient(transport=FirestoreGrpcTransport(channel=channel))

    def async_client(self) -> FirestoreAsyncClient:
        """Return a client for the running event loop alone."""
        channel = (
            grpc.aio.insecure_channel(self.emulator_host, options=_OPTIONS)
            if self.emulator_host
            else FirestoreGrpcAsyncIOTransport.create_channel(options=_OPTIONS)
        )
        return FirestoreAsyncClient(transport=FirestoreGrpcAsyncIOTransport(channel=channel))


class ProcessClient:
    """The one client of a process: built at the first call, and once more in a forked child, where it would hang."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._client: FirestoreClient | None = None
        self._owner = 0

    def get(self) -> FirestoreClient:
        with self._lock:
            if self._client is None or self._owner != os.getpid():
                self._client, self._owner = self._database.client(), os.getpid()
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client and self._owner == os.getpid():
            client.transport.close()
