"""How tritonserver is started, on one machine and in its container."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from triton_models import container, local_server, probe, server_command
from triton_models.engines import OPERATIONS
from triton_models.local_server import Ports
from triton_models.server_wheel import PROJECT_ROOT, LocalServerError

DOCKERFILE = (PROJECT_ROOT / "triton_models/Dockerfile").read_text("utf-8")
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ").strip() for line in INSTRUCTIONS if line.startswith(f"{name} ")]


class TestTheArguments:
    def test_are_the_same_on_one_machine_and_in_the_container(self, tmp_path: Path) -> None:
        files = SimpleNamespace(program=Path("tritonserver"), backends=Path("/backends"))
        run = SimpleNamespace(repository=server_command.REPOSITORY, token="token")

        local = local_server._command(files, run, Ports(), [*OPERATIONS])  # type: ignore[arg-type]
        contained = container.command([], [])

        common = server_command.arguments(server_command.REPOSITORY, OPERATIONS, exit_seconds=0)[:-1]
        assert [argument for argument in local if argument in common] == common
        assert [argument for argument in contained if argument in common] == common

    def test_may_be_said_again_otherwise_in_the_container(self) -> None:
        line = container.command(["enhance"], ["--exit-timeout-secs=30"])

        assert [argument for argument in line if argument.startswith("--load-model")] == ["--load-model=enhance"]
        assert line[-1] == "--exit-timeout-secs=30"

    def test_name_no_model_that_there_is_not(self) -> None:
        with pytest.raises(LocalServerError, match="no model named enhace; there are: upscale"):
            container.command(["enhace"], [])


class TestTheContainersServer:
    def test_becomes_tritonserver(self, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        became: list[tuple[str, list[str], dict[str, str]]] = []

        def become(*what: object) -> NoReturn:
            became.append(what)  # type: ignore[arg-type]
            raise SystemExit(0)

        monkeypatch.setattr(os, "execve", become)
        monkeypatch.setattr(shutil, "which", lambda name: f"/opt/tritonserver/bin/{name}")

        with pytest.raises(SystemExit):
            container.main(["--models=upscale", "--log-verbose=1"])

        ((program, line, environment),) = became
        assert program == "/opt/tritonserver/bin/tritonserver"
        assert line[-1] == "--log-verbose=1"
        assert environment["IMAGEN_PROJECT_ROOT"] == str(PROJECT_ROOT)

    def test_says_which_weights_are_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("IMAGEN_MODELS_DIR", str(tmp_path))

        code = container.main([])

        assert code == 1
        assert "python -m triton_models fetch" in capsys.readouterr().err

    def test_says_in_a_sentence_that_a_lock_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", "/nope")

        assert container.main([]) == 1
        assert capsys.readouterr().err.startswith("/nope cannot be read as a lock of weights: ")


class TestSharedMemory:
    def test_must_have_room_for_photographs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_command, "_LEAST_SHARED_MEMORY", 2**60)

        with pytest.raises(LocalServerError, match=r"--shm-size=1g"):
            server_command.refuse_small_shared_memory()


class TestTheEnvironment:
    def test_leads_the_stub_to_this_interpreter_and_to_the_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", "/elsewhere")
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("IMAGEN_ENGINE_THREADS", "3")

        environment = server_command.environment()

        assert (Path(environment["PATH"].split(":")[0]) / "python3").exists()
        assert (Path(environment["IMAGEN_PROJECT_ROOT"]) / "triton_models/serving.py").exists()
        assert environment["OMP_NUM_THREADS"] == "3"
        assert environment["OMP_WAIT_POLICY"] == "passive"
        assert "PYTHONPATH" not in environment

    def test_leaves_what_was_set_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_WAIT_POLICY", "active")

        assert server_command.environment()["OMP_WAIT_POLICY"] == "active"


class TestTheDockerfile:
    """It cannot be built where there is no Docker; what it says can be held against the code all the same."""

    def test_copies_only_what_is_there(self) -> None:
        copies = [copy.split() for copy in instructions("COPY") if not copy.startswith("--from")]

        assert [source for *sources, _ in copies for source in sources if not (PROJECT_ROOT / source).exists()] == []

    def test_takes_a_triton_by_its_tag_and_nothing_else(self) -> None:
        assert instructions("ARG") == ["TRITON=nvcr.io/nvidia/tritonserver:24.12-py3"]
        assert instructions("FROM") == ["${TRITON} AS libraries", "${TRITON}"]

    def test_installs_the_lock_of_the_main_engines_and_the_pinned_torch(self) -> None:
        install = next(run for run in instructions("RUN") if "pip install" in run)
        lock = (PROJECT_ROOT / "requirements/models-main.lock").read_text("utf-8")

        assert "--require-hashes --no-deps -r models-main.lock" in install
        assert "-r torch.txt" in install
        # Both of them have the module onnxruntime, and the later one would win.
        assert install.index("uninstall --yes onnxruntime") < install.index("-r onnxruntime-gpu.txt")
        assert re.search(r"^numpy==1\.26\.", lock, flags=re.MULTILINE)
        assert "pytest" not in lock

    def test_puts_the_onnxruntime_for_cards_in_the_place_of_the_other(self) -> None:
        install = next(run for run in instructions("RUN") if "pip install" in run)
        pinned = (PROJECT_ROOT / "requirements/onnxruntime-gpu.txt").read_text("utf-8").splitlines()[-1]

        assert install.index("models-main.lock") < install.index("uninstall --yes onnxruntime ")
        assert install.index("uninstall --yes onnxruntime ") < install.index("--no-deps -r onnxruntime-gpu.txt")
        assert re.fullmatch(r"onnxruntime-gpu==\d+\.\d+\.\d+", pinned)

    def test_has_the_very_versions_that_the_tests_run_with(self) -> None:
        main, full = (
            dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT_ROOT / f"requirements/{name}").read_text(), re.MULTILINE))
            for name in ("models-main.lock", "models-full.lock")
        )

        assert {name: version for name, version in main.items() if full.get(name) != version} == {}

    def test_carries_no_weights_and_runs_as_nobody_in_particular(self) -> None:
        user, _ = instructions("USER")[-1].split(":")

        assert "fetch" not in " ".join(INSTRUCTIONS)
        assert user.isdecimal()
        assert int(user) > 0

    def test_starts_and_probes_by_commands_that_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[int, list[str]]] = []
        monkeypatch.setattr(probe, "ready", lambda port, models: asked.append((port, models)))
        health = instructions("HEALTHCHECK")[0].partition("CMD ")[2]

        *_, module, question = as_words(health)
        code = probe.main([question])

        assert module == "triton_models.probe"
        assert code == 0
        # Where tritonserver listens unless it is told otherwise, and whichever models it was started with.
        assert asked == [(8000, [])]
        assert as_words(instructions("CMD")[0]) == ["python3", "-m", "triton_models.container"]

    def test_lets_tritonserver_be_killed(self) -> None:
        # The kernel keeps signals from a container's first process.
        assert as_words(instructions("ENTRYPOINT")[0])[:2] == ["/usr/bin/tini", "--"]

    def test_sets_no_variable_of_ours_that_nobody_reads(self) -> None:
        variables = re.findall(r"\b(IMAGEN_\w+)=", " ".join(instructions("ENV")))
        code = "".join(path.read_text("utf-8") for path in (PROJECT_ROOT / "triton_models").glob("**/*.py"))

        assert variables == ["IMAGEN_MODELS_DIR"]
        assert all(f'"{variable}"' in code for variable in variables)


def as_words(exec_form: str) -> list[str]:
    return shlex.split(exec_form.strip("[]").replace(",", " "))
