"""The environment, read once into one frozen, typed Config; nothing else reads it."""

import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import environ
from environ.fileaware_mapping import FileAwareMapping

from jobs.operations import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ("local", "gcp", "emulators")
SERVICES = ("site", "webhooks", "worker")
# Django refuses every query: what holds no SQL connection cannot open one by mistake.
NO_DATABASE: Mapping[str, object] = {"ENGINE": "django.db.backends.dummy"}

_Value = TypeVar("_Value")


class ConfigError(Exception):
    """Some variables are missing or wrong; the message names every one of them."""


@dataclass(frozen=True)
class Cloud:
    """What only the cloud path needs. The emulators' hosts are empty in the real cloud."""

    project: str  # GOOGLE_CLOUD_PROJECT
    bucket: str  # GCS_BUCKET
    firestore_database: str  # FIRESTORE_DATABASE
    pubsub_emulator: str  # PUBSUB_EMULATOR_HOST: "host:port"; given, the clients use it without credentials
    firestore_emulator: str  # FIRESTORE_EMULATOR_HOST
    storage_emulator: str  # STORAGE_EMULATOR_HOST: "http://host:port"
    signer: str  # GS_SA_EMAIL: the service account that signs links
    push_audience: str  # PUSH_AUDIENCE: what the tokens of pushes must be made out to
    push_accounts: tuple[str, ...]  # PUSH_SERVICE_ACCOUNT: whose tokens are taken, comma-separated
    push_token: str = field(
        repr=False
    )  # PUSH_TOKEN: the emulator of Pub/Sub signs nothing, and has this in its address


@dataclass(frozen=True)
class Config:
    """What this process was told. Units are in the names or the types."""

    profile: str  # IMAGEN_PROFILE: "local", one machine without any account; "gcp"; "emulators", gcp's path on a laptop
    service: str  # IMAGEN_SERVICE: "site", "webhooks" or "worker": the same image, and what it needs to be told
    secret_key: str = field(repr=False)  # SECRET_KEY or SECRET_KEY_FILE; on one machine it is made in var/
    site_url: str  # SITE_URL: where people reach the site, without a slash at the end
    allowed_hosts: tuple[str, ...]  # ALLOWED_HOSTS, comma-separated
    trusted_proxies: int  # TRUSTED_PROXIES: how many proxies in front of us add to X-Forwarded-For
    debug: bool  # DEBUG
    log_level: str  # LOG_LEVEL

    var_dir: Path  # IMAGEN_VAR_DIR: everything the local profile writes
    database: Mapping[str, object] = field(repr=False)  # DATABASE_URL, as Django wants it
    queue_path: Path  # QUEUE_PATH: the local queue's file
    triton_url: str  # TRITON_URL: "host:port" of Triton's gRPC endpoint; empty: not for this process to ask

    job_lease: timedelta  # JOB_LEASE_SECONDS: how long a worker may hold a job before another may take it
    job_renew: timedelta  # JOB_RENEW_SECONDS: the longest a worker stays silent; at most a quarter of the lease
    job_write_every: timedelta  # JOB_WRITE_SECONDS: the shortest time between two progress writes of a job
    job_outage: timedelta  # JOB_OUTAGE_SECONDS: how long an outage is waited out before a job is handed back
    job_attempts: int  # JOB_ATTEMPTS: how often a job may be begun
    job_republish: timedelta  # JOB_REPUBLISH_SECONDS: a job still queued after this is published again
    job_retention: timedelta  # JOB_RETENTION_DAYS: how long pixels and live state are kept
    inference_timeout: timedelta  # INFERENCE_TIMEOUT_SECONDS: the longest one call to the model server may take
    drain: timedelta  # DRAIN_SECONDS: what a stopping worker gives its running jobs before it hands them back

    sweep_every: timedelta  # SWEEP_SECONDS
    watch_every: timedelta  # WATCH_MILLISECONDS: how often the local profile looks for changes to show
    image_url_patience: timedelta  # IMAGE_URL_SECONDS: how long fetching a photo by its address may take
    upload_lifetime: timedelta  # UPLOAD_SECONDS: how long a photo may be sent directly, and then used for a job
    link_lifetime: timedelta  # LINK_SECONDS: how long a signed link to an image works
    submit_rate: str  # SUBMIT_RATE: API submits of an account, refused ones too; jobs: jobs/limits.py
    read_rate: str  # READ_RATE: other API calls of an account

    cloud: Cloud | None  # None in the local profile
    redis_url: str = field(repr=False)  # REDIS_URL: rate limits that several web processes share; empty: each its own
    metrics_port: int | None  # METRICS_PORT: where this process answers Prometheus; empty: nowhere
    metrics_host: str  # METRICS_HOST: the address it listens at there
    tracing: bool  # OTEL_EXPORTER_OTLP_ENDPOINT is given: spans go there (imagen_site/telemetry.py)
    liveness_path: Path | None  # LIVENESS_FILE: what a worker touches while it is well; empty: nothing

    # What a container starts (imagen_site/container.py); on one machine the command line says it.
    port: int  # PORT: where web and webhooks listen
    worker_queue: str  # WORKER_QUEUE: the topic that a worker takes jobs of; empty: every operation's
    worker_jobs: int  # WORKER_JOBS: how many it does at once

    @property
    def longest_job(self) -> timedelta:
        """How long a worker can be at one job: every attempt to its end, every outage waited out."""
        return self.job_attempts * (self.inference_timeout + 2 * self.job_outage)


class _Reader:
    """Collects what is wrong with the environment, so that one start names all of it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.env = environ.Env()
        # NAME_FILE=/run/secrets/name stands for NAME.
        self.env.ENVIRON = FileAwareMapping(env=dict(environment), cache=False)
        self.problems: list[str] = []

    def read(self, name: str, parse: Callable[[str], _Value], default: str | None = None) -> _Value | None:
        text = self.env.str(name, default=default)
        if text is None:
            self.problems.append(f"{name} is not set")
            return None
        try:
            return parse(text)
        except (ValueError, environ.ImproperlyConfigured) as error:
            self.problems.append(f"{name}: {error}")
            return None


def load(environment: Mapping[str, str] | None = None) -> Config:
    """
    Read the environment.

    Raises ConfigError naming every variable that is missing or wrong.
    """
    reader = _Reader(os.environ if environment is None else environment)
    fields = _read_all(reader)
    if reader.problems:
        raise ConfigError("Cannot start: " + "; ".join(reader.problems) + ".")
    config = Config(**fields)  # type: ignore[arg-type]
    if config.job_renew * 4 > config.job_lease:
        raise ConfigError("Cannot start: JOB_RENEW_SECONDS must be at most a quarter of JOB_LEASE_SECONDS.")
    return config


def _read_all(reader: _Reader) -> dict[str, object]:
    profile = reader.read("IMAGEN_PROFILE", _one_of(*PROFILES), "local") or "local"
    service = reader.read("IMAGEN_SERVICE", _one_of(*SERVICES), "site") or "site"
    var_dir = reader.read("IMAGEN_VAR_DIR", Path, str(ROOT / "var")) or ROOT / "var"
    return {
        "profile": profile,
        "service": service,
        "var_dir": var_dir,
        **_read_site(reader, var_dir, profile=profile, service=service),
        "trusted_proxies": reader.read("TRUSTED_PROXIES", _count, "0"),
        "debug": reader.read("DEBUG", _flag, "false"),
        "log_level": reader.read("LOG_LEVEL", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
        "queue_path": reader.read("QUEUE_PATH", Path, str(var_dir / "queue.sqlite3")),
        "triton_url": _read_triton(reader, profile=profile, service=service),
        **_read_job_settings(reader),
        "image_url_patience": reader.read("IMAGE_URL_SECONDS", _seconds, "20"),
        "upload_lifetime": reader.read("UPLOAD_SECONDS", _upload_seconds, "3600"),
        "link_lifetime": reader.read("LINK_SECONDS", _seconds, "3600"),
        "submit_rate": reader.read("SUBMIT_RATE", _rate, "600/minute"),
        "read_rate": reader.read("READ_RATE", _rate, "1200/minute"),
        "cloud": None if profile == "local" else _read_cloud(reader, profile=profile, service=service),
        "redis_url": reader.read("REDIS_URL", str, ""),
        **_read_observability(reader),
        "liveness_path": reader.read("LIVENESS_FILE", _path_or_none, ""),
        "port": reader.read("PORT", _port, "8080"),
        "worker_queue": reader.read("WORKER_QUEUE", _one_of("", *(each.topic for each in OPERATIONS.values())), ""),
        "worker_jobs": reader.read("WORKER_JOBS", _positive, "4"),
    }


def _read_site(reader: _Reader, var_dir: Path, *, profile: str, service: str) -> dict[str, object]:
    """Read what has a default on one machine alone. A worker of the cloud path is told of no database and no secret."""
    must_be_told = profile == "gcp" and service != "worker"

    def unless_told(default: str) -> str | None:
        return None if must_be_told else default

    def database() -> object:
        if profile != "local" and service == "worker":
            return NO_DATABASE
        return reader.read("DATABASE_URL", _database, unless_told(f"sqlite:///{var_dir / 'imagen.sqlite3'}"))

    return {
        "secret_key": reader.read("SECRET_KEY", _secret, _own_secret(reader, var_dir, profile, service)),
        "site_url": reader.read("SITE_URL", lambda text: text.rstrip("/"), unless_told("http://127.0.0.1:8000")),
        "allowed_hosts": reader.read("ALLOWED_HOSTS", _names, unless_told("127.0.0.1,localhost,[::1]")),
        "database": database(),
    }


def _read_triton(reader: _Reader, *, profile: str, service: str) -> str | None:
    """Read where Triton is. In the cloud only a worker gets through to it, and the others are not told."""
    if profile == "gcp" and service != "worker":
        return reader.read("TRITON_URL", lambda text: _host_and_port(text) if text else "", "")
    return reader.read("TRITON_URL", _host_and_port, None if profile == "gcp" else "127.0.0.1:8101")


def _read_cloud(reader: _Reader, *, profile: str, service: str) -> Cloud:
    emulated = profile == "emulators"
    invented = "imagen-emulators" if emulated else None

    def told(name: str, parse: Callable[[str], _Value], *, needed: bool) -> _Value | str | None:
        if needed:
            return reader.read(name, parse)
        return reader.read(name, lambda text: parse(text) if text else "", "")

    webhooks, site = service == "webhooks", service == "site"
    values = {
        "project": reader.read("GOOGLE_CLOUD_PROJECT", _name, invented),
        "bucket": reader.read("GCS_BUCKET", _name, invented),
        "firestore_database": reader.read("FIRESTORE_DATABASE", _name, "(default)"),
        "pubsub_emulator": told("PUBSUB_EMULATOR_HOST", _host_and_port, needed=emulated),
        "firestore_emulator": told("FIRESTORE_EMULATOR_HOST", _host_and_port, needed=emulated),
        "storage_emulator": told("STORAGE_EMULATOR_HOST", _name, needed=emulated),
        "signer": told("GS_SA_EMAIL", _name, needed=site and not emulated),
        "push_audience": told("PUSH_AUDIENCE", _name, needed=webhooks and not emulated),
        "push_accounts": told("PUSH_SERVICE_ACCOUNT", _some_names, needed=webhooks and not emulated) or (),
        "push_token": told("PUSH_TOKEN", _secret, needed=webhooks) if emulated else "",
    }
    return Cloud(**values)  # type: ignore[arg-type]


def _read_observability(reader: _Reader) -> dict[str, object]:
    # OpenTelemetry's own names; what else there is of them its library reads by itself.
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    given = any(reader.read(name, str, "") for name in endpoints)
    exporter = reader.read("OTEL_TRACES_EXPORTER", _one_of("otlp", "none"), "otlp" if given else "none")
    return {
        "metrics_port": reader.read("METRICS_PORT", _port_or_none, ""),
        "metrics_host": reader.read("METRICS_HOST", _name, "127.0.0.1"),
        "tracing": exporter == "otlp" and not reader.read("OTEL_SDK_DISABLED", _flag, "false"),
    }


def _read_job_settings(reader: _Reader) -> dict[str, object]:
    return {
        "job_lease": reader.read("JOB_LEASE_SECONDS", _seconds, "60"),
        "job_renew": reader.read("JOB_RENEW_SECONDS", _seconds, "5"),
        "job_write_every": reader.read("JOB_WRITE_SECONDS", _seconds, "1"),
        "job_outage": reader.read("JOB_OUTAGE_SECONDS", _seconds, "60"),
        "job_attempts": reader.read("JOB_ATTEMPTS", _positive, "5"),
        "job_republish": reader.read("JOB_REPUBLISH_SECONDS", _seconds, "600"),
        "job_retention": reader.read("JOB_RETENTION_DAYS", lambda text: timedelta(days=_positive(text)), "7"),
        "inference_timeout": reader.read("INFERENCE_TIMEOUT_SECONDS", _seconds, "900"),
        "drain": reader.read("DRAIN_SECONDS", _seconds, "8"),
        "sweep_every": reader.read("SWEEP_SECONDS", _seconds, "5"),
        "watch_every": reader.read("WATCH_MILLISECONDS", lambda text: _seconds(text) / 1000, "50"),
    }


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(filter(None, choices))}")
        return text

    return parse


def _secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text


def _own_secret(reader: _Reader, var_dir: Path, profile: str, service: str) -> str | None:
    """Return the key that one machine keeps beside its data, made on the first start."""
    if "SECRET_KEY" in reader.env.ENVIRON:
        return None
    if profile == "gcp":
        # A worker signs nothing; Django wants a key all the same.
        return secrets.token_urlsafe(48) if service == "worker" else None
    path = var_dir / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Of two processes that start together one makes the key, whole from its first moment; both read that one.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as file, suppress(FileExistsError):
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.link(file.name, path)
    return path.read_text()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _some_names(text: str) -> tuple[str, ...]:
    return _names(_name(text.strip(" ,")))


def _name(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _path_or_none(text: str) -> Path | None:
    return Path(text) if text else None


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("is negative")
    return number


def _positive(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise ValueError("must be at least 1")
    return number


def _seconds(text: str) -> timedelta:
    number = float(text)
    if not 0 < number < 10**9:
        raise ValueError(f"{text!r} is not a positive number")
    return timedelta(seconds=number)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def _port_or_none(text: str) -> int | None:
    return _port(text) if text else None


def _upload_seconds(text: str) -> timedelta:
    lifetime = _seconds(text)
    if lifetime > timedelta(days=7):
        raise ValueError("is more than a week, the longest that Google signs for")
    return lifetime


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0"}:
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() in {"true", "1"}


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f'{text!r} is not of the form "host:port"')
    return text


def _rate(text: str) -> str:
    amount, _, period = text.partition("/")
    if not amount.isdigit() or period not in {"second", "minute", "hour", "day"}:
        raise ValueError(f'{text!r} is not of the form "120/minute"')
    return text


def _database(text: str) -> Mapping[str, object]:
    with warnings.catch_warnings():
        # It warns of a scheme that it does not know, and goes on.
        warnings.simplefilter("ignore")
        parsed = dict(environ.Env.db_url_config(text))
    if not parsed.get("ENGINE"):
        raise ValueError("is not a database URL")
    return parsed
