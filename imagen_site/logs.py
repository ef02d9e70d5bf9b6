"""JSON lines on standard error: a constant event with fields beside it."""

import logging.config
import re
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

# A signed link is a permission, and an API key is the account itself.
_SECRETS = re.compile(
    r"(?P<link>/(?:files|uploads)/)[^\s\"'?]+"
    r"|(?P<key>img_(?:live|test)_)\w+"
    # The emulators' pushes, and links into a bucket.
    r"|(?P<query>[?&](?i:token|x-goog-signature)=)[^\s\"'&]+"
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take signed links and API keys out of every value of a log line, wherever they came from."""
    for name, value in event.items():
        event[name] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:  # noqa: ANN401 - whatever somebody logs
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_redacted(inner) for inner in value]
    # Django logs the request itself, which becomes text with its path only when the line is written.
    text = value if isinstance(value, str) else repr(value)
    return _SECRETS.sub(lambda found: (found["link"] or found["key"] or found["query"]) + "[redacted]", text)


_SEVERITIES = {"exception": "ERROR", "warn": "WARNING"}


def for_cloud_logging(project: str) -> Callable[[object, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Name what Cloud Logging joins and filters lines by, in the words that it looks for."""

    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        level = str(event.get("level", "info"))
        event["severity"] = _SEVERITIES.get(level, level.upper())
        event["message"] = event.get("event", "")
        if trace_id := event.get("trace_id"):
            event["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace_id}"
            event["logging.googleapis.com/spanId"] = event.get("span_id", "")
        return event

    return add


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_settings(*, level: str, project: str = "") -> dict[str, Any]:
    """
    Return Django's LOGGING: every logger, ours or a library's, through the one JSON formatter.

    project: the Google Cloud project whose Cloud Logging reads the lines, if any does.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact,
                    *([for_cloud_logging(project)] if project else []),
                    structlog.processors.JSONRenderer(),
                ],
                "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # It logs whole URLs, and ours carry signatures; django-structlog logs each request once, by path.
            "uvicorn.access": {"level": "WARNING"},
            # A photo's address may be a signed one of somebody else's.
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "django_structlog": {"level": level},
            # A traceback for every scanner that asks for another host: it is answered with 400 all the same.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
        },
    }


def configure(settings: dict[str, Any]) -> None:
    """Apply LOGGING and route structlog's own loggers through it."""
    logging.config.dictConfig(settings)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Not cached: a logger that was used before could not be listened to any more, by a test for instance.
        cache_logger_on_first_use=False,
    )
