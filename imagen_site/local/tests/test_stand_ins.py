from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from imagen_site import config
from imagen_site.local import stand_ins
from imagen_site.local.emulators import EmulatorMissing
from imagen_site.local.postgres import PostgresMissing
from imagen_site.local.stand_ins import CloudPorts, StandIns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIVEN = {
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:2",
    "STORAGE_EMULATOR_HOST": "http://127.0.0.1:3",
    "DATABASE_URL": "postgres://me@127.0.0.1:4/mine",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every emulator, and no PostgreSQL, whatever this machine has."""
    for kind in ("pubsub", "firestore", "storage"):
        monkeypatch.setattr(stand_ins, f"{kind}_command", lambda port, kind=kind, **_: (kind, str(port)))

    def missing(*_: object, **__: object) -> None:
        raise PostgresMissing("PostgreSQL's server programs are not installed.")

    monkeypatch.setattr(stand_ins, "cluster", missing)


def names(some: StandIns) -> list[str]:
    return [program.name for program in some.programs]


class TestTheStandIns:
    def test_are_all_started_where_nothing_is_given(self, tmp_path: Path) -> None:
        some = StandIns({}, CloudPorts.from_first(9000), var_dir=tmp_path)

        assert names(some) == ["pubsub", "firestore", "storage"]
        assert some.ports == {"pubsub": 9000, "firestore": 9001, "storage": 9002}
        assert some.environment().items() >= {
            ("PUBSUB_EMULATOR_HOST", "127.0.0.1:9000"),
            ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9001"),
            ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9002"),
        }

    @pytest.mark.parametrize(
        ("variable", "program"),
        [
            ("PUBSUB_EMULATOR_HOST", "pubsub"),
            ("FIRESTORE_EMULATOR_HOST", "firestore"),
            ("STORAGE_EMULATOR_HOST", "storage"),
        ],
    )
    def test_leave_alone_what_somebody_else_runs(self, tmp_path: Path, variable: str, program: str) -> None:
        some = StandIns({variable: GIVEN[variable]}, CloudPorts(), var_dir=tmp_path)

        assert program not in names(some)
        assert variable not in some.environment()

    def test_need_nothing_installed_when_somebody_else_runs_them_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(*_: object, **__: object) -> tuple[str, ...]:
            raise EmulatorMissing("There is no Java.")

        for kind in ("pubsub", "firestore", "storage"):
            monkeypatch.setattr(stand_ins, f"{kind}_command", missing)

        assert names(StandIns(GIVEN, CloudPorts(), var_dir=tmp_path)) == []

    def test_say_why_sqlite_takes_the_place_of_postgresql(self, tmp_path: Path) -> None:
        without = StandIns({}, CloudPorts(), var_dir=tmp_path)
        given = StandIns(GIVEN, CloudPorts(), var_dir=tmp_path)

        assert without.without_postgres == ("PostgreSQL's server programs are not installed. SQLite takes its place.")
        assert given.without_postgres == ""

    def test_tell_every_service_what_it_asks_for(self, tmp_path: Path) -> None:
        told = StandIns({}, CloudPorts(), var_dir=tmp_path).environment()

        for service in config.SERVICES:
            environment: Mapping[str, str] = {
                **told,
                "IMAGEN_PROFILE": "emulators",
                "IMAGEN_SERVICE": service,
                "IMAGEN_VAR_DIR": str(tmp_path),
                "PATH": os.environ["PATH"],
            }
            assert config.load(environment).cloud is not None

    def test_have_another_token_for_pushes_at_each_start(self, tmp_path: Path) -> None:
        some = StandIns({}, CloudPorts(), var_dir=tmp_path)

        assert some.environment()["PUSH_TOKEN"] != some.environment()["PUSH_TOKEN"]
