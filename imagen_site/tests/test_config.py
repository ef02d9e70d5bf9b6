from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from imagen_site import config

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s" * 40


def load(var_dir: Path, **environment: str) -> config.Config:
    return config.load({"IMAGEN_VAR_DIR": str(var_dir), **environment})


class TestAnEmptyEnvironment:
    def test_is_enough_for_one_machine(self, tmp_path: Path) -> None:
        loaded = load(tmp_path)

        assert loaded.profile == "local"
        assert loaded.database["ENGINE"] == "django.db.backends.sqlite3"
        assert loaded.job_lease == timedelta(seconds=60)
        assert len(loaded.secret_key) >= 50

    def test_gets_a_secret_key_of_its_own_that_stays(self, tmp_path: Path) -> None:
        keys: list[str] = []
        starts = [threading.Thread(target=lambda: keys.append(load(tmp_path).secret_key)) for _ in range(8)]
        for start in starts:
            start.start()
        for start in starts:
            start.join()

        assert len(set(keys)) == 1
        assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


class TestWhatAnOperatorSees:
    def test_is_nothing_unless_asked_for(self, tmp_path: Path) -> None:
        loaded = load(tmp_path)

        assert (loaded.metrics_port, loaded.metrics_host, loaded.tracing) == (None, "127.0.0.1", False)

    @pytest.mark.parametrize(
        ("environment", "traces"),
        [
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
            ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
            ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ],
    )
    def test_are_traces_where_opentelemetry_is_told_so(
        self, tmp_path: Path, environment: dict[str, str], *, traces: bool
    ) -> None:
        assert load(tmp_path, **environment).tracing is traces

    @pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
    def test_needs_a_port_that_there_is(self, tmp_path: Path, port: str) -> None:
        with pytest.raises(config.ConfigError, match=r"METRICS_PORT: .* is not a port"):
            load(tmp_path, METRICS_PORT=port)


class TestAWrongEnvironment:
    def test_is_refused_naming_every_variable_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError) as refusal:
            load(
                tmp_path,
                SECRET_KEY="short",
                TRITON_URL="nowhere",
                JOB_LEASE_SECONDS="-1",
                DEBUG="perhaps",
                SUBMIT_RATE="many",
                DATABASE_URL="nonsense",
                IMAGEN_PROFILE="moon",
                JOB_ATTEMPTS="0",
                LINK_SECONDS="nan",
            )

        names = "SECRET_KEY TRITON_URL JOB_LEASE_SECONDS DEBUG SUBMIT_RATE DATABASE_URL IMAGEN_PROFILE JOB_ATTEMPTS"
        for name in [*names.split(), "LINK_SECONDS"]:
            assert name in str(refusal.value)
        assert "short," not in str(refusal.value)

    def test_may_not_renew_a_lease_too_late(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError, match="a quarter of JOB_LEASE_SECONDS"):
            load(tmp_path, JOB_RENEW_SECONDS="20")


WORKER = {
    "IMAGEN_PROFILE": "gcp",
    "GOOGLE_CLOUD_PROJECT": "prints",
    "GCS_BUCKET": "photos",
    "TRITON_URL": "triton:8001",
}
SITE = {
    "IMAGEN_PROFILE": "gcp",
    "GOOGLE_CLOUD_PROJECT": "prints",
    "GCS_BUCKET": "photos",
    "SECRET_KEY": SECRET,
    "DATABASE_URL": "postgres://imagen:hidden@10.0.0.3/imagen",
    "SITE_URL": "https://imagen.example",
    "ALLOWED_HOSTS": "imagen.example",
    "GS_SA_EMAIL": "site@prints.iam.gserviceaccount.com",
}
EMULATORS = {
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:8086",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:8087",
}


class TestTheCloud:
    def test_names_everything_that_the_site_was_not_told(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError) as refusal:
            load(tmp_path, IMAGEN_PROFILE="gcp")

        for name in SITE.keys() - {"IMAGEN_PROFILE"}:
            assert f"{name} is not set" in str(refusal.value)
        assert not list(tmp_path.iterdir())

    def test_starts_the_site_with_no_more_than_that(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, **SITE)

        assert loaded.cloud is not None
        assert (loaded.cloud.project, loaded.cloud.bucket, loaded.cloud.firestore_database) == (
            "prints",
            "photos",
            "(default)",
        )
        assert loaded.cloud.pubsub_emulator == ""
        assert loaded.triton_url == ""

    def test_refuses_a_worker_that_was_told_of_no_model_server(self, tmp_path: Path) -> None:
        told = {name: text for name, text in WORKER.items() if name != "TRITON_URL"}

        with pytest.raises(config.ConfigError, match="TRITON_URL is not set"):
            load(tmp_path, **told, IMAGEN_SERVICE="worker")

    def test_tells_a_worker_of_no_database_and_no_secret(self, tmp_path: Path) -> None:
        loaded = load(tmp_path, **WORKER, IMAGEN_SERVICE="worker", DATABASE_URL="postgres://u:hidden@127.0.0.1/db")

        assert loaded.database["ENGINE"] == "django.db.backends.dummy"
        assert loaded.triton_url == "triton:8001"

    def test_starts_the_webhooks_only_when_told_whose_tokens_to_take(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError, match=r"PUSH_AUDIENCE is not set; PUSH_SERVICE_ACCOUNT is not set"):
            load(tmp_path, **SITE, IMAGEN_SERVICE="webhooks")

    def test_on_a_laptop_needs_the_emulators_and_nothing_else(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError) as refusal:
            load(tmp_path, IMAGEN_PROFILE="emulators")
        loaded = load(tmp_path, IMAGEN_PROFILE="emulators", **EMULATORS)

        assert str(refusal.value).count("is not set") == 3
        assert loaded.cloud is not None
        assert loaded.cloud.storage_emulator == "http://127.0.0.1:8087"


class TestASecret:
    def test_may_come_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)

        assert load(tmp_path, SECRET_KEY_FILE=str(tmp_path / "key")).secret_key == SECRET

    def test_is_not_shown_with_the_rest(self, tmp_path: Path) -> None:
        shown = repr(load(tmp_path, SECRET_KEY=SECRET, DATABASE_URL="postgres://u:hidden@127.0.0.1/db"))

        assert SECRET not in shown
        assert "hidden" not in shown
