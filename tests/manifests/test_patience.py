"""What takes long is waited for: starts, loads, updates and downloads; and nothing is ended for one slow answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.operations import OPERATIONS
from tests.manifests.rendering import K8S, build, build_with, find, of_kind, pod_templates, rendered

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

TRITON = "triton-inference-server"


def update_of_triton(manifests: list[Manifest]) -> dict[str, int]:
    return dict(find(manifests, "Deployment", TRITON)["spec"]["strategy"]["rollingUpdate"])


class TestEveryProbe:
    def test_gives_an_interpreter_time_to_start_on_a_busy_node(self, manifests: list[Manifest]) -> None:
        probes = {
            f"{name} {key}": probe.get("timeoutSeconds", 1)
            for name, template in pod_templates(manifests)
            for container in template["spec"]["containers"]
            for key, probe in container.items()
            if key.endswith("Probe")
        }

        assert len(probes) == 3 * (len(OPERATIONS) + 1)
        assert {name: seconds for name, seconds in probes.items() if seconds < 5} == {}

    def test_ends_nobody_who_is_silent_for_less_than_half_a_minute(self, manifests: list[Manifest]) -> None:
        for each in of_kind(manifests, "Deployment"):
            (container,) = each["spec"]["template"]["spec"]["containers"]
            probe = container["livenessProbe"]
            assert probe.get("failureThreshold", 3) >= 3, each["metadata"]["name"]
            assert probe["periodSeconds"] * (probe.get("failureThreshold", 3) - 1) >= 30, each["metadata"]["name"]

    def test_gives_a_worker_a_minute_to_start(self, manifests: list[Manifest]) -> None:
        for operation in OPERATIONS.values():
            (container,) = find(manifests, "Deployment", operation.worker)["spec"]["template"]["spec"]["containers"]
            start = container["startupProbe"]
            assert start["periodSeconds"] * start["failureThreshold"] >= 60


class TestAnUpdateOfTriton:
    def test_needs_no_second_card(self) -> None:
        assert update_of_triton(build(K8S / "triton")) == {"maxSurge": 0, "maxUnavailable": 1}
        assert update_of_triton(rendered("dev")) == {"maxSurge": 0, "maxUnavailable": 1}

    def test_makes_no_pause_where_there_is_one(self) -> None:
        assert update_of_triton(build_with(K8S / "components/triton-surge")) == {"maxSurge": 1, "maxUnavailable": 0}
        assert update_of_triton(rendered("prod")) == {"maxSurge": 1, "maxUnavailable": 0}


class TestTheNodesOfTriton:
    def test_are_made_for_it_and_never_come_without_a_card(self, manifests: list[Manifest]) -> None:
        made = find(manifests, "ComputeClass", "triton")["spec"]

        assert made["nodePoolAutoCreation"] == {"enabled": True}
        assert made["whenUnsatisfiable"] == "DoNotScaleUp"
        assert {rule["gpu"]["count"] for rule in made["priorities"]} == {1}


class TestTheFetchingJob:
    def test_has_an_hour_at_least_for_twelve_gigabytes(self, manifests: list[Manifest]) -> None:
        assert find(manifests, "Job", "models-fetch")["spec"]["activeDeadlineSeconds"] >= 3600
