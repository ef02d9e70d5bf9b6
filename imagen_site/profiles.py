"""What differs between the profiles, as Django and Celery want it: database, image storage, queue, routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagen_site.config import Cloud, Config

# By default a request waits two minutes for a server that says nothing, and for a connection that has gone even longer.
_POSTGRES_PATIENCE: Mapping[str, int] = {"connect_timeout": 5, "tcp_user_timeout": 15_000}


def urlconf(config: Config) -> str:
    return "imagen_site.urls_webhooks" if config.service == "webhooks" else "imagen_site.urls"


def database(config: Config) -> dict[str, Any]:
    """Return Django's database, without a connection that outlives its request."""
    if config.database["ENGINE"] == "django.db.backends.postgresql":
        options: Mapping[str, object] = config.database.get("OPTIONS", {})  # type: ignore[assignment]
        return {**config.database, "CONN_MAX_AGE": 0, "OPTIONS": {**_POSTGRES_PATIENCE, **options}}
    if config.database["ENGINE"] != "django.db.backends.sqlite3":
        return {**config.database, "CONN_MAX_AGE": 0}
    return {
        **config.database,
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            # Many writers share one file: take the write lock at the start and wait for it, do not fail half-way.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def image_storage(config: Config) -> dict[str, Any]:
    if config.cloud is None:
        location = config.var_dir / "media"
        return {
            "BACKEND": "jobs.image_store.SignedFileStorage",
            "OPTIONS": {"location": location, "allow_overwrite": True},
        }
    return _cloud_storage(config.cloud)


def broker(config: Config) -> dict[str, Any]:
    """Return Celery's settings of the queue, without their prefix."""
    if config.cloud is None:
        return {
            "URL": "leased-sqlite://localhost",
            "TRANSPORT": "imagen_site.brokers.sqlite:Transport",
            "TRANSPORT_OPTIONS": {"path": str(config.queue_path), "polling_interval": 0.02},
        }
    return _pubsub(config.cloud)


def _cloud_storage(cloud: Cloud) -> dict[str, Any]:
    return {
        "BACKEND": "jobs.cloud_storage.BucketStorage",
        "OPTIONS": {
            "project": cloud.project,
            "bucket": cloud.bucket,
            "signer": cloud.signer,
            "endpoint": cloud.storage_emulator,
        },
    }


def picture_origins(config: Config) -> list[str]:
    """Return where beside this site pages find pictures: a link of ours leads to the bucket."""
    if config.cloud is None:
        return []
    return [config.cloud.storage_emulator or "https://storage.googleapis.com"]


def _pubsub(cloud: Cloud) -> dict[str, Any]:
    return {
        # Only a label: kombu takes no import path from a URL, and the project is an option.
        "URL": "pubsub://google",
        "TRANSPORT": "imagen_site.brokers.pubsub:Transport",
        "TRANSPORT_OPTIONS": {
            "project": cloud.project,
            "emulator_host": cloud.pubsub_emulator or None,
            # In the cloud topics and subscriptions belong to Terraform.
            "create_missing": bool(cloud.pubsub_emulator),
        },
    }
