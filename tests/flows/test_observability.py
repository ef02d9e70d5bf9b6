"""One submit, through a real web server, queue and worker: what an operator sees of it in logs, traces and metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from jobs.tests.conftest import png
from tests.collector import Collector
from tests.fake_triton import FakeTriton
from tests.running_site import ROOT, RunningSite, free_port, multipart, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.collector import Span

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("observed")]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "my secret garden"
STAGES = ("job downloading", "job inferring", "job uploading")


@dataclass(frozen=True)
class Observed:
    """What was seen of one job that was submitted under the trace TRACE."""

    site: RunningSite
    job: dict[str, Any]
    triton: FakeTriton
    collector: Collector
    ports: dict[str, int]

    def lines(self, process: str) -> list[dict[str, Any]]:
        written = self.site.log(process).splitlines()
        return [json.loads(line) for line in written if line.startswith("{")]

    def metrics(self, process: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[process]}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.collector.spans if span.name == name and span.trace_id == TRACE]
        return found


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    ports = {"web": free_port(), "worker": free_port()}
    var_dir = tmp_path_factory.mktemp("observed") / "var"
    with FakeTriton() as triton, Collector() as collector:
        watched = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        site = RunningSite(var_dir=var_dir, triton_url=triton.url)
        try:
            site.prepare(pages=False)
            for name, start in (("web", site.start_web), ("worker", site.start_worker)):
                site.settings = {**watched, "METRICS_PORT": str(ports[name])}
                start()
            job = submit(site)
            wait_until(lambda: all_is_sent(collector), seconds=10, what="the spans' arrival")
            yield Observed(site, job, triton, collector, ports)
        finally:
            site.stop()


def submit(site: RunningSite) -> dict[str, Any]:
    body, content_type = multipart(png(), "photo.png", {"prompt": PROMPT, "scale": "2"})
    _, job = site.call(
        "POST",
        f"/api/v1/images/upscale?prompt={PROMPT.replace(' ', '+')}",
        body,
        Content_Type=content_type,
        traceparent=f"00-{TRACE}-{SPAN}-01",
        baggage="evil=1",
    )
    done = site.wait_for(str(job["job_id"]), seconds=30)
    site.download(done["output"]["url"])
    return done


def all_is_sent(collector: Collector) -> bool:
    names = {span.name for span in collector.spans}
    return {"run/jobs.run_job", "POST api/v1/images/upscale"} <= names and any("files/" in name for name in names)


class TestTheLog:
    def test_of_web_and_worker_is_found_by_the_trace_and_by_the_job(self, observed: Observed) -> None:
        job_id = observed.job["job_id"]

        accepted = next(line for line in observed.lines("web") if line["event"] == "job_accepted")
        claimed = next(line for line in observed.lines("worker") if line["event"] == "job_claimed")
        ended = next(line for line in observed.lines("worker") if line["event"] == "job_ended")

        assert [line["trace_id"] for line in (accepted, claimed, ended)] == [TRACE] * 3
        assert [line["job_id"] for line in (accepted, claimed, ended)] == [job_id] * 3
        assert accepted["span_id"] != claimed["span_id"]

    def test_of_the_model_server_is_found_by_the_job_and_its_traces_by_the_trace(self, observed: Observed) -> None:
        (asked,) = observed.triton.asked

        assert asked.request_id == observed.job["job_id"]
        assert asked.metadata["traceparent"].split("-")[1] == TRACE


class TestTheTrace:
    def test_is_one_over_web_and_worker_with_each_stage_inside_the_task(self, observed: Observed) -> None:
        request, task = observed.span("POST api/v1/images/upscale"), observed.span("run/jobs.run_job")
        publish = observed.span("apply_async/jobs.run_job")
        call = observed.span("/inference.GRPCInferenceService/ModelStreamInfer")

        assert (request.service, publish.service, task.service, call.service) == ("web", "web", "worker", "worker")
        assert (request.parent_id, publish.parent_id, task.parent_id) == (SPAN, request.span_id, publish.span_id)
        assert [observed.span(stage).parent_id for stage in STAGES] == [task.span_id] * 3
        assert call.parent_id == observed.span("job inferring").span_id
        assert task.attributes["imagen.job_id"] == observed.job["job_id"]
        assert task.attributes["imagen.status"] == "completed"

    def test_carries_no_prompt_no_key_and_no_signed_link(self, observed: Observed) -> None:
        sent = b"".join(observed.collector.bodies)
        token = str(observed.job["output"]["url"]).removeprefix("/files/").split("?")[0]
        for secret in (PROMPT, "garden", observed.site.api_key, token, "photo.png", "evil"):
            assert secret.encode() not in sent
        assert any(span.name.startswith("GET files/") for span in observed.collector.spans)

    def test_is_nothing_that_is_loaded_where_no_collector_is_named(self) -> None:
        code = """
import sys
import imagen_site.asgi
from imagen_site.celery import app
from jobs import adapters
adapters.runner()
print([name for name in sys.modules if name.split(".")[0] == "opentelemetry"])
"""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert done.stdout.strip() == "[]", done.stderr


class TestACollectorThatIsAway:
    def test_holds_up_no_process_that_ends(self) -> None:
        code = """
import time
from opentelemetry import trace
from imagen_site import telemetry
telemetry.start("worker")
trace.get_tracer("test").start_span("a job").end()
ends = time.monotonic()
trace.get_tracer_provider().shutdown()
print(time.monotonic() - ends)
"""
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}

        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

        # With the library's own patience it would be ten.
        assert float(done.stdout) < 6


class TestTheMetrics:
    def test_of_the_worker_tell_how_the_job_ended_and_how_long_each_stage_took(self, observed: Observed) -> None:
        text = observed.metrics("worker")

        assert 'imagen_jobs_total{operation="upscale",status="completed"} 1.0' in text
        for stage in ("downloading", "inferring", "uploading"):
            assert f'imagen_job_stage_seconds_count{{operation="upscale",stage="{stage}"}} 1.0' in text
        assert 'imagen_job_queue_wait_seconds_count{operation="upscale"} 1.0' in text
        assert "imagen_jobs_unfinished" not in text

    def test_of_the_web_tell_of_requests_and_of_unfinished_jobs(self, observed: Observed) -> None:
        text = observed.metrics("web")

        assert 'imagen_http_request_seconds_count{status="202"' in text
        assert 'imagen_jobs_unfinished{operation="upscale"}' in text
        assert observed.job["job_id"] not in text
