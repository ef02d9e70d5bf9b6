from __future__ import annotations

import dataclasses
import re
import socket
import threading
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from structlog.testing import capture_logs

import billing.services
from imagen_site import metrics
from imagen_site.unfinished_jobs import UnfinishedJobs, unfinished_jobs
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.tests.conftest import NOW, World
from tests.running_site import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.test import Client

    from accounts.models import User


@pytest.fixture
def registered() -> Iterator[Callable[[UnfinishedJobs], CollectorRegistry]]:
    """Registries, for collectors that must leave no thread behind."""
    gates: list[UnfinishedJobs] = []

    def register(collector: UnfinishedJobs) -> CollectorRegistry:
        gates.append(collector)
        registry = CollectorRegistry()
        registry.register(collector)
        return registry

    yield register
    for collector in gates:
        collector._thread.shutdown()


def requests(view: str, status: str) -> float:
    labels = {"view": view, "status": status}
    return REGISTRY.get_sample_value("imagen_http_request_seconds_count", labels) or 0.0


class TestARequest:
    def test_is_timed_under_its_views_name_and_its_status(self, client: Client) -> None:
        before = requests("livez", "200")

        client.get("/livez?secret=1")

        assert requests("livez", "200") == before + 1
        assert b"secret" not in generate_latest()

    @pytest.mark.django_db
    def test_to_an_address_that_is_none_makes_no_name_of_its_own(self, client: Client) -> None:
        before = requests("none", "404")

        client.get("/some/strangers/guess-1")
        client.get("/some/strangers/guess-2")

        assert requests("none", "404") == before + 2
        assert b"guess" not in generate_latest()


class TestUnfinishedJobs:
    def test_are_counted_by_operation_with_the_age_of_the_oldest(self, alice: User) -> None:
        billing.services.grant(account=alice.account, credits=10, reference="test", now=NOW)
        world = World()
        old, _, over = (world.submit(alice.account) for _ in range(3))
        world.service.cancel(over, now=NOW)
        Job.objects.filter(id=old.id).update(requested_at=timezone.now() - timedelta(minutes=5))
        Job.objects.exclude(id=old.id).update(requested_at=timezone.now())

        found = unfinished_jobs()

        number, oldest = found.pop("upscale")
        assert (number, oldest) == (2, pytest.approx(300, abs=10))
        assert found == {name: (0, 0.0) for name in OPERATIONS if name != "upscale"}

    def test_are_asked_for_once_in_fifteen_seconds(
        self, registered: Callable[[UnfinishedJobs], CollectorRegistry]
    ) -> None:
        now, asked = [100.0], []

        def count() -> dict[str, tuple[int, float]]:
            asked.append(now[0])
            return {"upscale": (len(asked), 3.5)}

        registry = registered(UnfinishedJobs(count, clock=lambda: now[0]))
        values = []
        for now[0] in (100.0, 110.0, 114.0, 116.0):
            values.append(registry.get_sample_value("imagen_jobs_unfinished", {"operation": "upscale"}))

        assert asked == [100.0, 116.0]
        assert values == [1, 1, 1, 2]
        assert registry.get_sample_value("imagen_job_oldest_unfinished_seconds", {"operation": "upscale"}) == 3.5

    def test_are_left_out_while_the_database_is_away_and_come_back_with_it(
        self, registered: Callable[[UnfinishedJobs], CollectorRegistry]
    ) -> None:
        now, up = [100.0], [False]

        def count() -> dict[str, tuple[int, float]]:
            if not up[0]:
                raise OperationalError("gone")
            return {"upscale": (1, 0.0)}

        registry = registered(UnfinishedJobs(count, clock=lambda: now[0]))
        with capture_logs() as lines:
            away = generate_latest(registry)
        up[0], now[0] = True, 120.0

        assert away == b""
        assert [line["event"] for line in lines] == ["jobs_not_counted"]
        assert b'imagen_jobs_unfinished{operation="upscale"} 1.0' in generate_latest(registry)

    def test_do_not_keep_a_scrape_waiting_for_a_database_that_hangs(
        self, registered: Callable[[UnfinishedJobs], CollectorRegistry]
    ) -> None:
        gate, asked = threading.Event(), []

        def count() -> dict[str, tuple[int, float]]:
            asked.append(1)
            gate.wait(10)
            return {}

        registry = registered(UnfinishedJobs(count, clock=iter(range(100, 1000, 100)).__next__, patience=0.02))
        answers = [generate_latest(registry) for _ in range(3)]
        gate.set()

        assert answers == [b""] * 3
        assert len(asked) == 1


class TestTheMetricsPort:
    def test_is_served_where_it_is_asked_for_and_nowhere_else(self) -> None:
        port = free_port()
        config = dataclasses.replace(settings.IMAGEN, metrics_port=port)

        stop = metrics.serve(config)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            body = answer.read().decode()
        stop()

        assert 'imagen_jobs_total{operation="upscale",status="failed"}' in body
        assert 'imagen_retries_total{part="states"}' in body

    def test_opens_nothing_by_default(self) -> None:
        assert settings.IMAGEN.metrics_port is None

    def test_that_is_taken_keeps_nothing_from_starting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as lines:
            metrics.serve(dataclasses.replace(settings.IMAGEN, metrics_port=taken.getsockname()[1]))

        assert [line["event"] for line in lines] == ["metrics_not_served"]


class TestEveryMetric:
    def test_is_explained_to_whoever_is_woken_by_it(self) -> None:
        counted = re.compile(r'\b(Counter|Gauge|Histogram|GaugeMetricFamily)\(\s*"(imagen_\w+)"')
        source = [
            path
            for package in ("imagen_site", "jobs", "billing", "accounts")
            for path in (ROOT / package).rglob("*.py")
        ]
        names = {
            name + ("_total" if kind == "Counter" else "")
            for path in source
            if "tests" not in path.parts
            for kind, name in counted.findall(path.read_text())
        }

        explained = (ROOT / "docs/observability.md").read_text()
        assert len(names) > 10
        assert sorted(name for name in names if f"`{name}`" not in explained) == []
