"""The reference timeline on the deployed settings, and docs/scaling.md against what its commands print."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import simulate as command
from bench.simulation import manifests, picture, tables
from bench.simulation.run import Scenario, simulate
from bench.simulation.timeline import departures
from tests.manifests.rendering import K8S, OVERLAYS
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from bench.simulation.manifests import Deployed

pytestmark = pytest.mark.deployment

PAGE = ROOT / "docs/scaling.md"
ANEW = "docs/scaling.md is not what its commands print: run them again"


@functools.cache
def deployed(overlay: str) -> Deployed:
    return manifests.deployed(K8S / "overlays" / overlay)


@pytest.fixture
def prod() -> Deployed:
    return deployed("prod")


def rows(printed: str) -> set[str]:
    return {line for line in printed.splitlines() if line.startswith("|") and not line.startswith("|--")}


def on_the_page() -> set[str]:
    return rows(PAGE.read_text())


class TestTheReferenceTimeline:
    @pytest.mark.parametrize("seed", range(1, 6))
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_is_what_the_deployed_autoscalers_do(self, overlay: str, seed: int) -> None:
        result = simulate(deployed(overlay), scenario=Scenario(seed=seed))

        assert departures(result) == []

    def test_is_missed_by_kubernetes_own_rules(self, prod: Deployed) -> None:
        without = {
            name: replace(each, up=manifests.DEFAULT_UP, down=manifests.DEFAULT_DOWN)
            for name, each in prod.autoscalers.items()
        }

        assert departures(simulate(replace(prod, autoscalers=without), scenario=Scenario())) != []

    @pytest.mark.parametrize(
        ("file", "said", "instead"),
        [
            ("hpa/worker-behavior.yaml", "maxReplicas: 20", "maxReplicas: 3"),
            ("hpa/worker-behavior.yaml", "stabilizationWindowSeconds: 600", "stabilizationWindowSeconds: 0"),
            ("hpa/triton.yaml", 'averageValue: "8"', 'averageValue: "800"'),
            ("hpa/triton.yaml", "maxReplicas: 3", "maxReplicas: 1"),
        ],
    )
    def test_changes_with_a_manifest(self, file: str, said: str, instead: str, tmp_path: Path) -> None:
        for path in (K8S / "autoscaling").rglob("*.yaml"):
            copy = tmp_path / path.relative_to(K8S / "autoscaling")
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(path.read_text())
        changed = tmp_path / file
        assert said in changed.read_text()
        changed.write_text(changed.read_text().replace(said, instead))

        result = simulate(manifests.deployed(tmp_path / "hpa"), scenario=Scenario())

        assert departures(result) != []


class TestThePage:
    def test_has_the_timeline(self, prod: Deployed) -> None:
        assert rows(tables.timeline(prod, seeds=range(1, 21))) <= on_the_page(), ANEW

    def test_has_the_scales(self, prod: Deployed) -> None:
        # A hundred and a thousand times take too long for every run.
        assert rows(tables.scale(prod, factors=(1, 10), seed=1)) <= on_the_page(), ANEW

    def test_has_the_limits(self, prod: Deployed) -> None:
        assert rows(tables.limits(prod, factor=100, cards=(12,), workers=(), seed=1)) <= on_the_page(), ANEW

    def test_has_the_guesses(self, prod: Deployed) -> None:
        assert rows(tables.guesses(prod, seed=1)) <= on_the_page(), ANEW

    def test_has_the_stream(self, prod: Deployed) -> None:
        assert rows(tables.stream(prod, rates=(3,), goals=command.GOALS, seed=1)) <= on_the_page(), ANEW

    def test_has_the_picture_that_its_command_draws(self, prod: Deployed, tmp_path: Path) -> None:
        picture.draw(simulate(prod, scenario=Scenario()), tmp_path / "scaling.svg")

        assert (tmp_path / "scaling.svg").read_text() == (ROOT / "docs/scaling.svg").read_text(), ANEW

    def test_names_files_that_are_there(self) -> None:
        named = re.findall(r"`((?:k8s|bench|tests)/[\w./-]+)`", PAGE.read_text())
        linked = re.findall(r"\]\(([\w./-]+)\)", PAGE.read_text())

        assert named
        assert [name for name in named if not (ROOT / name).exists()] == []
        assert [name for name in linked if not (ROOT / "docs" / name).exists()] == []


class TestTheCommand:
    @pytest.mark.parametrize(
        ("written", "said"), [("resources: [absent.yaml]", "absent.yaml"), ("[", "does not build"), ("", "empty")]
    )
    def test_says_what_cannot_be_read(
        self, written: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "kustomization.yaml").write_text(written)

        assert command.main(["--overlay", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err

    def test_says_that_there_is_no_such_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--overlay", "absent"]) == 2
        assert capsys.readouterr().err == (
            "Cannot read the autoscalers: absent/kustomization.yaml: No such file or directory.\n"
        )

    @pytest.mark.parametrize("option", ["--overlay", "--autoscalers"])
    def test_says_that_a_folder_has_no_autoscalers(self, option: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main([option, str(K8S / "triton")]) == 2
        assert "k8s/triton has no autoscalers" in capsys.readouterr().err

    @pytest.mark.parametrize("factor", ["0", "-1", "nan", "many", "10001", "0.001"])
    def test_refuses_a_factor_that_is_none(self, factor: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            command.main([f"--scale={factor}"])

        assert f"--scale: '{factor}' is not a number from 0.01 to 10,000." in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("option", "said"),
        [
            ("--seeds=0", "'0' is less than 1."),
            ("--seeds=many", "'many' is not a whole number."),
            ("--seed=1.5", "'1.5' is not a whole number."),
            ("--stream=0", "'0' is not a number from 0.001 to 10,000."),
            ("--picture=timeline.gif", "'timeline.gif' does not end with .svg or .png."),
            ("--picture=absent/timeline.svg", "There is no folder 'absent' for the picture."),
        ],
    )
    def test_says_in_a_sentence_what_an_option_may_be(
        self, option: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            command.main([option])

        assert said in capsys.readouterr().err

    def test_prints_the_timeline_where_nothing_is_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--seeds", "1"]) == 0
        assert "100 jobs at 0:05, 1 seeds" in capsys.readouterr().out

    def test_takes_the_autoscalers_of_another_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--seeds", "3", "--autoscalers", str(K8S / "autoscaling/keda")]) == 0

        printed = capsys.readouterr().out
        assert "| 0:35 | workers | 5 | 0 (0 to 0) | 5 | 0 of 3 |" in printed
        # As docs/scaling.md says of KEDA.
        assert "| 0:20 | drained: minute | 20 | 21" in printed
