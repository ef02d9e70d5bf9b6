"""Every overlay builds, by itself, and into what Kubernetes takes."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.manifests.rendering import K8S, OVERLAYS, build, build_with, built_in, components, find, of_kind, rendered
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

VALIDATE = ROOT / ".venv-deployment/bin/kubernetes-validate"
# The oldest Kubernetes that we promise: what it takes, newer ones take too.
KUBERNETES = "1.33.0"
CLUSTER_WIDE = {"Namespace", "PersistentVolume", "ComputeClass", "ClusterRules", "PriorityClass"}


def complaints_of_kubernetes(manifests: list[Manifest], folder: Path) -> str:
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    done = subprocess.run(
        [VALIDATE, "--strict", "--quiet", "-k", KUBERNETES, file], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


class TestEveryOverlay:
    def test_is_known_to_these_tests(self) -> None:
        assert sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml")) == list(OVERLAYS)

    def test_is_what_kubernetes_takes(self, manifests: list[Manifest], tmp_path: Path) -> None:
        assert complaints_of_kubernetes([each for each in manifests if built_in(each)], tmp_path) == ""

    def test_would_be_refused_with_a_field_that_kubernetes_does_not_know(self, tmp_path: Path) -> None:
        broken = {**find(rendered("prod"), "Service", "triton"), "spec": {"port": 8000}}

        assert "port" in complaints_of_kubernetes([broken], tmp_path)

    def test_names_the_namespace_of_all_that_has_one(self, manifests: list[Manifest]) -> None:
        namespaced = [each for each in manifests if each["kind"] not in CLUSTER_WIDE]

        assert {each["metadata"].get("namespace") for each in namespaced} == {"imagen"}

    def test_names_no_namespace_of_what_has_none(self, manifests: list[Manifest]) -> None:
        assert [each for each in of_kind(manifests, *CLUSTER_WIDE) if "namespace" in each["metadata"]] == []

    def test_makes_the_namespace_before_what_lives_there(self, manifests: list[Manifest]) -> None:
        assert manifests[0]["kind"] == "Namespace"

    def test_holds_each_object_once(self, manifests: list[Manifest]) -> None:
        names = [(each["kind"], each["metadata"]["name"]) for each in manifests]

        assert len(names) == len(set(names))


class TestEveryComponent:
    @pytest.mark.parametrize("component", components(), ids=lambda path: str(path.relative_to(K8S)))
    def test_builds_alone(self, component: Path) -> None:
        assert build_with(component)

    def test_is_what_kubernetes_takes(self, tmp_path: Path) -> None:
        # In one run, and what it changes alone: the rest has been asked for the overlays.
        every = [each for component in components() for each in build_with(component) if built_in(each)]
        whole = [each for part in ("base", "triton", "workers") for each in build(K8S / part)]

        assert complaints_of_kubernetes([each for each in every if each not in whole], tmp_path) == ""

    @pytest.mark.parametrize("component", components(), ids=lambda path: str(path.relative_to(K8S)))
    def test_says_in_a_readme_what_it_switches(self, component: Path) -> None:
        assert (component / "README.md").is_file()


class TestTheReadme:
    def test_has_a_line_for_each_folder(self) -> None:
        named = {
            folder.split("/")[0]
            for folder in re.findall(r"^\| `(\S+/)` \|", (K8S / "README.md").read_text(), re.MULTILINE)
        }

        assert named == {path.name for path in K8S.iterdir() if path.is_dir()}
