"""The namespace has room for the most that autoscalers may ask for, and for no mistake of twice as much."""

from __future__ import annotations

import math

import pytest

from bench.simulation.manifests import TRITON, autoscalers
from jobs.operations import OPERATIONS
from tests.manifests.quantities import amount
from tests.manifests.rendering import Manifest, find, of_kind, pod_templates

pytestmark = pytest.mark.deployment

# What GKE adds to a pod that mounts a bucket (the annotations gke-gcsfuse/...).
SIDECAR = {"cpu": 1.0, "memory": amount("1Gi")}


def wanted(manifests: list[Manifest], resource: str, side: str) -> float:
    """Return what all pods together ask for when every autoscaler is at its most, and everything is being updated."""
    # An update adds a quarter to each worker, and one to Triton.
    most = {name: math.ceil(1.25 * each.maximum) for name, each in autoscalers(manifests).items()}
    most[TRITON] = autoscalers(manifests)[TRITON].maximum + 1
    total = most[TRITON] * SIDECAR.get(resource, 0)
    for name, pods in most.items():
        (it,) = find(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        total += pods * amount(it["resources"][side].get(resource, 0))
    return total


class TestEveryDeployment:
    def test_leaves_the_number_of_its_pods_to_its_autoscaler(self, manifests: list[Manifest]) -> None:
        counted = [each["metadata"]["name"] for each in of_kind(manifests, "Deployment") if "replicas" in each["spec"]]

        assert counted == []


class TestTheQuota:
    @pytest.mark.parametrize(
        ("side", "resource"),
        [
            ("requests", "cpu"),
            ("requests", "memory"),
            ("limits", "cpu"),
            ("limits", "memory"),
            ("requests", "nvidia.com/gpu"),
        ],
    )
    def test_has_room_for_the_most_and_not_for_twice_as_much(
        self, manifests: list[Manifest], side: str, resource: str
    ) -> None:
        hard = find(manifests, "ResourceQuota", "imagen")["spec"]["hard"]

        most = wanted(manifests, resource, side)

        assert most <= amount(hard[f"{side}.{resource}"]) < 2 * most

    def test_has_room_for_every_pod(self, manifests: list[Manifest]) -> None:
        hard = find(manifests, "ResourceQuota", "imagen")["spec"]["hard"]
        workers = sum(each.maximum for name, each in autoscalers(manifests).items() if name != TRITON)

        # A rolling update adds a quarter to each worker, and one to Triton; and there is the fetching job.
        assert workers * 1.25 + 4 + 1 <= amount(hard["pods"])
        assert workers == 20 * len(OPERATIONS)

    @pytest.mark.parametrize("kind", ["loadbalancers", "nodeports"])
    def test_lets_nobody_open_a_door_to_the_internet(self, manifests: list[Manifest], kind: str) -> None:
        assert find(manifests, "ResourceQuota", "imagen")["spec"]["hard"][f"services.{kind}"] == "0"


class TestTheLimitsOfAContainer:
    @pytest.mark.parametrize("resource", ["cpu", "memory"])
    def test_are_wide_enough_for_each_of_ours_and_for_the_sidecar(
        self, manifests: list[Manifest], resource: str
    ) -> None:
        (limit,) = find(manifests, "LimitRange", "imagen")["spec"]["limits"]
        asked = {
            name: amount(container["resources"]["limits"][resource])
            for name, template in pod_templates(manifests)
            for container in template["spec"]["containers"]
        } | {"sidecar": SIDECAR[resource]}

        assert {name: most for name, most in asked.items() if most > amount(limit["max"][resource])} == {}
        assert resource in limit["default"]
        assert resource in limit["defaultRequest"]


class TestAPodsDisk:
    def test_holds_its_folders_at_their_fullest(self, manifests: list[Manifest]) -> None:
        # Kubernetes evicts a pod that uses more than its containers' limits together.
        for name, template in pod_templates(manifests):
            folders = [each["emptyDir"] for each in template["spec"]["volumes"] if "emptyDir" in each]
            limits = [each["resources"]["limits"]["ephemeral-storage"] for each in template["spec"]["containers"]]
            sidecar = template["metadata"].get("annotations", {}).get("gke-gcsfuse/ephemeral-storage-limit", "0")

            fullest = sum(amount(folder["sizeLimit"]) for folder in folders if folder.get("medium") != "Memory")
            assert fullest <= sum(map(amount, [*limits, sidecar])), name


class TestAQuantity:
    @pytest.mark.parametrize(
        ("text", "number"), [("250m", 0.25), ("1", 1), (4, 4), ("2Gi", 2 * 2**30), ("512Mi", 2**29), ("1.5k", 1500)]
    )
    def test_is_read_as_kubernetes_reads_it(self, text: str | int, number: float) -> None:
        assert amount(text) == number

    def test_is_refused_with_a_unit_that_is_none(self) -> None:
        with pytest.raises((KeyError, ValueError)):
            amount("1Gb")
