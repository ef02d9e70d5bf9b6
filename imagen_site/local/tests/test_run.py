import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagen_site.local import run
from imagen_site.local.programs import TritonPorts
from imagen_site.local.terminal import boxed, hung_up
from tests.running_site import ROOT, free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_ports() -> TritonPorts:
    return TritonPorts(http=free_port(), grpc=free_port(), metrics=free_port())


class TestATakenPort:
    def test_is_named_with_the_way_to_another_one(self, taken: int) -> None:
        with pytest.raises(run.CannotRun, match=rf"Port {taken}, .* the site .*make run PORT={taken + 10}"):
            run.refuse_taken(taken, None)

    def test_of_the_model_server_is_named_too(self, taken: int) -> None:
        ports = TritonPorts(http=free_port(), grpc=taken, metrics=free_port())

        with pytest.raises(run.CannotRun, match=rf"Port {taken}, .* model server .*TRITON_GRPC_PORT="):
            run.refuse_taken(free_port(), ports)

    def test_does_not_matter_when_somebody_else_runs_the_model_server(self) -> None:
        run.refuse_taken(free_port(), None)

    def test_is_refused_when_it_is_none(self) -> None:
        with pytest.raises(run.CannotRun, match="PORT=80000 is not a port"):
            run.refuse_taken(80000, free_ports())


class TestTheEnvironmentOfThePrograms:
    def test_names_the_addresses_that_were_chosen(self) -> None:
        environment = run.child_environment({}, port=8010, triton=TritonPorts(grpc=8201))

        assert environment["SITE_URL"] == "http://127.0.0.1:8010"
        assert environment["TRITON_URL"] == "127.0.0.1:8201"

    def test_keeps_what_the_user_has_set(self) -> None:
        mine = {"SITE_URL": "https://photos.example.com", "TRITON_URL": "gpu:8001", "LANG": "C"}

        environment = run.child_environment(mine, port=8000, triton=TritonPorts())

        assert environment.items() >= mine.items()


class TestAMachineWithoutSetpriv:
    def test_is_told_the_package(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("PATH", "")

        assert run.main([]) == 1
        assert "util-linux" in capsys.readouterr().err


class TestAWrongSetting:
    def test_is_told_before_anything_starts(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("SWEEP_SECONDS", "soon")
        monkeypatch.setenv("TRITON_URL", "127.0.0.1:1")

        assert run.main(["--port", str(free_port())]) == 1
        assert "SWEEP_SECONDS" in capsys.readouterr().err


class TestTheBox:
    def test_holds_its_longest_line(self) -> None:
        lines = boxed(["short", "a longer line"]).strip().splitlines()

        assert len({len(line) for line in lines}) == 1
        assert "│ short         │" in lines


class TestAClosedTerminal:
    def test_does_not_keep_everything_from_being_stopped(self, tmp_path: Path) -> None:
        code = "from imagen_site.local.terminal import say; say('stopping')"
        ours, theirs = os.openpty()
        ended = subprocess.Popen(
            [sys.executable, "-c", f"input(); {code}; open('said', 'w')"],
            stdin=-1,
            stdout=theirs,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        os.close(theirs)
        os.close(ours)

        ended.communicate(b"\n", timeout=30)

        assert (tmp_path / "said").exists()

    def test_is_noticed(self) -> None:
        ours, theirs = os.openpty()

        before = hung_up(theirs)
        os.close(ours)
        after = hung_up(theirs)
        os.close(theirs)

        assert (before, after) == (False, True)


class TestTheEnvironmentFile:
    def test_tells_a_shell_what_was_told_to_the_programs_and_nobody_else(self, tmp_path: Path) -> None:
        told = {"IMAGEN_VAR_DIR": "/a b", "SITE_URL": "http://x", "TRITON_URL": "h:1", "PUSH_TOKEN": "it's"}

        run._write_environment(tmp_path / "environment", told, ["PUSH_TOKEN"])

        shown = subprocess.run(
            ["bash", "-c", '. "$0" && echo "$PUSH_TOKEN $IMAGEN_VAR_DIR"', tmp_path / "environment"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert shown.stdout == "it's /a b\n"
        assert (tmp_path / "environment").stat().st_mode & 0o777 == 0o600
