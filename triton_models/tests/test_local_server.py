import socket
from pathlib import Path

import pytest

from triton_models import local_server
from triton_models.local_server import Ports
from triton_models.server_command import REPOSITORY
from triton_models.server_wheel import LocalServerError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("upscale", "sleeper"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(
            f'name: "{name}"\ninstance_group [ {{ kind: KIND_GPU }} ]', "utf-8"
        )
    return tmp_path


class TestALockThatIsNotThere:
    def test_is_named_in_one_sentence(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", "/nope")
        ports = [f"--{name}-port={port}" for name, port in vars(Ports.free()).items()]

        assert local_server.main(ports) == 1
        assert capsys.readouterr().err.startswith("/nope cannot be read as a lock of weights: ")


class TestOnCpu:
    def test_moves_every_model_of_ours_off_the_gpu_and_changes_nothing_else(self) -> None:
        for path in REPOSITORY.glob("*/config.pbtxt"):
            config = path.read_text("utf-8")

            moved = local_server.on_cpu(config)

            assert "GPU" not in moved
            assert "gpus" not in moved
            assert moved.split("instance_group")[0] == config.split("instance_group")[0]


class TestModels:
    def test_are_all_that_the_repositories_hold(self, repository: Path) -> None:
        found = local_server._models_in([repository], wanted=[])

        assert [model.name for model in found] == ["sleeper", "upscale"]

    def test_may_be_chosen_by_name(self, repository: Path) -> None:
        assert local_server._models_in([repository], wanted=["upscale"]) == [repository / "upscale"]

    def test_must_not_share_a_name(self, repository: Path) -> None:
        with pytest.raises(LocalServerError, match="Two repositories have a model named upscale"):
            local_server._models_in([repository, REPOSITORY], wanted=[])

    def test_must_exist(self, repository: Path, tmp_path: Path) -> None:
        with pytest.raises(LocalServerError, match="model named nonesuch; there are: sleeper, upscale"):
            local_server._models_in([repository], wanted=["nonesuch"])

    def test_must_be_at_least_one(self, tmp_path: Path) -> None:
        with pytest.raises(LocalServerError, match="No model in"):
            local_server._models_in([tmp_path / "empty"], wanted=[])

    def test_are_copied_and_stay_as_they_are(self, repository: Path, tmp_path: Path) -> None:
        local_server._copy_for_cpu(repository / "upscale", tmp_path / "run/upscale")

        assert "KIND_CPU" in (tmp_path / "run/upscale/config.pbtxt").read_text("utf-8")
        assert "KIND_GPU" in (repository / "upscale/config.pbtxt").read_text("utf-8")
        assert (tmp_path / "run/upscale/1").is_dir()


class TestPorts:
    def test_are_those_of_triton_moved_out_of_the_sites_way(self) -> None:
        assert vars(Ports()) == {"http": 8100, "grpc": 8101, "metrics": 8102}

    def test_are_refused_by_name_when_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = Ports.free()
            ports = Ports(http=ports.http, grpc=taken.getsockname()[1], metrics=ports.metrics)

            with pytest.raises(LocalServerError, match=f"Port {ports.grpc} is in use.*--grpc-port"):
                ports.refuse_if_taken()

    def test_are_free_when_nobody_has_them(self) -> None:
        Ports.free().refuse_if_taken()
