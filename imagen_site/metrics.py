"""What is counted of requests, and the port at which Prometheus reads all that this process counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY, Histogram, start_http_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from prometheus_client.registry import Collector

    from imagen_site.config import Config

log = structlog.get_logger(__name__)

REQUEST_SECONDS = Histogram(
    "imagen_http_request_seconds",
    "From the first middleware to the answer's headers.",
    ["view", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


class MetricsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.monotonic()
        response = self._get_response(request)
        # By name: there are as many addresses as there are jobs, and strangers invent more.
        view = request.resolver_match.view_name if request.resolver_match else "none"
        REQUEST_SECONDS.labels(view, str(response.status_code)).observe(time.monotonic() - began)
        return response


def serve(config: Config, *collectors: Collector) -> Callable[[], None]:
    """
    Answer Prometheus on a port of its own, where METRICS_PORT names one; the collectors are asked at each scrape.

    Returns what ends it. Keeps no process from starting: work that nobody counts is better than none.
    """
    if config.metrics_port is None:
        return _nothing
    try:
        server, thread = start_http_server(config.metrics_port, addr=config.metrics_host)
    except OSError as error:
        log.warning("metrics_not_served", port=config.metrics_port, error=str(error))
        return _nothing
    for collector in collectors:
        REGISTRY.register(collector)
    log.info("metrics_served", host=config.metrics_host, port=config.metrics_port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _nothing() -> None:
    """There is no server to end."""
