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


class TestASecret:
    def test_may_come_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(SECRET)

        assert load(tmp_path, SECRET_KEY_FILE=str(tmp_path / "key")).secret_key == SECRET

    def test_is_not_shown_with_the_rest(self, tmp_path: Path) -> None:
        shown = repr(load(tmp_path, SECRET_KEY=SECRET, DATABASE_URL="postgres://u:hidden@127.0.0.1/db"))

        assert SECRET not in shown
        assert "hidden" not in shown
