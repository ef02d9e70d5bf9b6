"""The site's own Celery worker, with a model server in memory, and SQL that leaves a trace of whoever asks for it."""

from __future__ import annotations

import os
import threading
from typing import Any, NoReturn

import structlog
from celery.signals import worker_init

from imagen_site.celery import app
from inference.fake_client import FakeInferenceClient, Script

__all__ = ["SQL_ASKED_FOR", "app"]

SQL_ASKED_FOR = "sql_was_asked_for"
INFO = {
    "engine": {"name": "fake", "version": "1", "weights_sha256": "0" * 64},
    "device": {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"},
    "checks": {"shift": [0.5, [1]], "worst": float("nan")},
    "format": "png",
    "width": 256,
    "height": 192,
}


@worker_init.connect
def _prepare(**_signal: Any) -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from jobs import adapters

    # With SLOW_MODEL a call lasts until it is given up.
    gate = threading.Event() if os.environ.get("SLOW_MODEL") else None
    client = FakeInferenceClient(Script(image=b"result", info=INFO, gate=gate))
    adapters.inference_client = lambda: client  # type: ignore[assignment]
    BaseDatabaseWrapper.connect = _refuse  # type: ignore[method-assign]


def _refuse(*_: object, **__: object) -> NoReturn:
    structlog.get_logger(__name__).error(SQL_ASKED_FOR)
    raise AssertionError(SQL_ASKED_FOR)
