import configparser
import shlex
from pathlib import Path

import pytest

from imagen_site.local.programs import (
    Program,
    TritonPorts,
    site_programs,
    supervisor_config,
    triton_program,
    with_metrics_ports,
)


def parsed(root: Path, programs: list[Program]) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(supervisor_config(programs, root=root, var_dir=root / "var"))
    return parser


def command(program: Program) -> str:
    return " ".join(program.command)


class TestThePrograms:
    def test_are_the_site_its_worker_and_its_sweep(self, tmp_path: Path) -> None:
        assert [program.name for program in site_programs(tmp_path, port=8000)] == ["web", "worker", "sweep"]

    def test_listen_on_this_machine_alone(self, tmp_path: Path) -> None:
        web = site_programs(tmp_path, port=8010)[0]

        assert "--host 127.0.0.1 --port 8010" in command(web)

    def test_answer_prometheus_each_at_a_port_of_its_own_where_they_are_to(self, tmp_path: Path) -> None:
        programs = [Program("web", ("true",)), Program("worker", ("true",), {"IMAGEN_SERVICE": "worker"})]

        assert with_metrics_ports(programs, None) == programs
        web, worker = with_metrics_ports(programs, 9100)
        assert web.environment == {"METRICS_PORT": "9100"}
        assert worker.environment == {"IMAGEN_SERVICE": "worker", "METRICS_PORT": "9101"}

    def test_take_each_its_own_interpreter(self, tmp_path: Path) -> None:
        triton = triton_program(tmp_path, TritonPorts())

        assert triton.command[0] == str(tmp_path / ".venv-models/bin/python")
        assert {each.command[0] for each in site_programs(tmp_path, port=1)} == {str(tmp_path / ".venv/bin/python")}

    def test_tell_the_model_server_its_ports(self, tmp_path: Path) -> None:
        triton = triton_program(tmp_path, TritonPorts(http=1, grpc=2, metrics=3))

        assert command(triton).endswith("--http-port=1 --grpc-port=2 --metrics-port=3")


class TestTheConfiguration:
    def test_ends_every_program_with_its_manager(self, tmp_path: Path) -> None:
        config = parsed(tmp_path, site_programs(tmp_path, port=8000))

        commands = [config[name]["command"] for name in config.sections() if name.startswith("program:")]
        assert len(commands) == 3
        assert all(each.startswith("setpriv --pdeathsig TERM ") for each in commands)

    def test_stops_all_programs_at_once(self, tmp_path: Path) -> None:
        config = parsed(tmp_path, site_programs(tmp_path, port=8000))

        assert config["group:imagen"]["programs"] == "web,worker,sweep"

    def test_starts_again_what_ends(self, tmp_path: Path) -> None:
        config = parsed(tmp_path, [Program("web", ("true",))])

        assert config["program:web"]["autorestart"] == "true"

    def test_passes_the_environment_of_a_program(self, tmp_path: Path) -> None:
        config = parsed(tmp_path, [Program("triton", ("true",), {"OMP_WAIT_POLICY": "passive", "TWO": "2"})])

        assert config["program:triton"]["environment"] == 'OMP_WAIT_POLICY="passive",TWO="2"'

    @pytest.mark.parametrize("name", ["my photos", "100% mine", "it's", "a;b"])
    def test_survives_any_folder_name(self, tmp_path: Path, name: str) -> None:
        root = tmp_path / name

        config = parsed(root, site_programs(root, port=8000))

        said = config["program:sweep"]["command"] % {}
        assert shlex.split(said)[-4:] == [str(root / ".venv/bin/python"), str(root / "manage.py"), "sweep", "--every"]
        assert config["program:sweep"]["directory"] % {} == str(root)
