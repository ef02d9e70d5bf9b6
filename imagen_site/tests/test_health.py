from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from django.db import DEFAULT_DB_ALIAS, InterfaceError, connection, connections

from inference.fake_client import FakeInferenceClient
from inference.triton_client import TritonInferenceClient
from jobs import adapters
from jobs.operations import OPERATIONS
from tests.databases import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from pytest_django import DjangoDbBlocker, Settings

    from inference.client import InferenceClient


def ask(monkeypatch: pytest.MonkeyPatch, client: InferenceClient) -> None:
    monkeypatch.setattr(adapters, "inference_client", lambda: client)


@pytest.fixture
def no_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The database is a file in a folder that does not exist."""
    mine, theirs = connections[DEFAULT_DB_ALIAS], connections.settings
    connections.settings = connections.configure_settings({DEFAULT_DB_ALIAS: sqlite_file("/nowhere/site.sqlite3")})
    connections[DEFAULT_DB_ALIAS] = connections.create_connection(DEFAULT_DB_ALIAS)
    with django_db_blocker.unblock():
        yield
    connections.settings = theirs
    connections[DEFAULT_DB_ALIAS] = mine


class TestLivez:
    def test_answers_whatever_else_is_away(self, client: Client, no_database: None) -> None:
        answer = client.get("/livez")

        assert (answer.status_code, answer.content) == (200, b"ok")

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_answers_a_probe_that_names_the_container_by_its_address(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        ask(monkeypatch, FakeInferenceClient())

        assert client.get(path, HTTP_HOST="10.8.0.17:8080").status_code == 200

    def test_answers_a_probe_of_a_service_that_is_not_where_the_site_is(
        self, client: Client, settings: Settings
    ) -> None:
        settings.IMAGEN = replace(settings.IMAGEN, site_url="https://imagen.example")
        settings.ALLOWED_HOSTS = ["webhooks-1.europe-west4.run.app"]

        assert client.get("/livez", HTTP_HOST="10.8.0.17:8080").status_code == 200

    def test_leaves_every_other_page_to_the_hosts_that_are_allowed(self, client: Client, db: None) -> None:
        assert client.get("/api/v1/jobs", HTTP_HOST="10.8.0.17:8080").status_code == 400


class TestReadyz:
    def test_says_that_all_is_there(self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        ask(monkeypatch, FakeInferenceClient())

        answer = client.get("/readyz")

        assert answer.status_code == 200
        assert answer.json() == {
            "ready": True,
            "database": True,
            "models": dict.fromkeys(OPERATIONS, True),
        }

    def test_says_nothing_of_models_that_it_may_not_ask(self, client: Client, db: None, settings: Settings) -> None:
        settings.IMAGEN = replace(settings.IMAGEN, triton_url="")

        assert client.get("/readyz").json() == {"ready": True, "database": True, "models": {}}

    def test_names_the_model_that_is_missing(self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        ask(monkeypatch, FakeInferenceClient(models=["upscale"]))

        models = client.get("/readyz").json()["models"]

        assert {name for name, there in models.items() if there} == {"upscale"}
        assert set(models) == set(OPERATIONS)

    def test_is_ready_within_three_seconds_without_a_model_server(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            # Bound and not listening: whoever connects is refused.
            triton = TritonInferenceClient(f"127.0.0.1:{taken.getsockname()[1]}")
            ask(monkeypatch, triton)
            started = time.monotonic()

            answer = client.get("/readyz")

            seconds = time.monotonic() - started
            triton.close()
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert set(answer.json()["models"].values()) == {False}
        assert seconds < 3

    def test_is_ready_within_three_seconds_beside_a_model_server_that_says_nothing(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            triton = TritonInferenceClient(f"127.0.0.1:{silent.getsockname()[1]}")
            ask(monkeypatch, triton)
            started = time.monotonic()

            answer = client.get("/readyz")

            seconds = time.monotonic() - started
            triton.close()
        assert set(answer.json()["models"].values()) == {False}
        assert seconds < 3

    def test_waits_once_for_a_model_server_that_hangs(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = threading.Barrier(len(OPERATIONS), timeout=5)

        class Hanging(FakeInferenceClient):
            def ready(self, model: str) -> bool:
                together.wait()
                return False

        ask(monkeypatch, Hanging())

        assert set(client.get("/readyz").json()["models"].values()) == {False}

    def test_is_not_ready_without_a_database(
        self, client: Client, no_database: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask(monkeypatch, FakeInferenceClient())

        answer = client.get("/readyz")

        assert (answer.status_code, answer.json()["database"]) == (503, False)

    def test_is_not_ready_when_its_connection_was_lost(
        self, client: Client, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lost() -> None:
            raise InterfaceError("the connection is closed")

        ask(monkeypatch, FakeInferenceClient())
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(connection, "cursor", lost)

            answer = client.get("/readyz")

        assert (answer.status_code, answer.json()["database"]) == (503, False)
