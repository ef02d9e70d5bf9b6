"""Every container says what it needs and how it is asked whether it is well; one that does not is found."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from tests.manifests.containers import omissions
from tests.manifests.rendering import find, of_kind, pod_templates, rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment


def of_a_worker(change: Callable[[Manifest, Manifest], object]) -> list[str]:
    """Return what is left out by a worker after a change to its pod's spec and its container."""
    template = copy.deepcopy(find(rendered("prod"), "Deployment", "upscale-worker")["spec"]["template"])
    change(template["spec"], template["spec"]["containers"][0])
    return omissions("Deployment", template)


class TestEveryContainer:
    def test_says_all_of_it(self, manifests: list[Manifest]) -> None:
        said = {name: omissions(name.split("/")[0], template) for name, template in pod_templates(manifests)}

        assert {name: left_out for name, left_out in said.items() if left_out} == {}


class TestAContainerThatLeavesSomethingOut:
    @pytest.mark.parametrize("kind", ["requests", "limits"])
    @pytest.mark.parametrize("resource", ["cpu", "memory", "ephemeral-storage"])
    def test_is_found_without_a_request_or_a_limit(self, kind: str, resource: str) -> None:
        said = of_a_worker(lambda _pod, worker: worker["resources"][kind].pop(resource))

        assert said == [f"worker has no {kind} of {resource}"]

    @pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
    def test_is_found_without_a_probe(self, probe: str) -> None:
        assert of_a_worker(lambda _pod, worker: worker.pop(probe)) == [f"worker has no {probe}"]

    def test_is_found_without_a_security_context(self) -> None:
        said = of_a_worker(lambda _pod, worker: worker.pop("securityContext"))

        assert said == ["worker may write to its own file system"]

    @pytest.mark.parametrize("image", ["imagen-worker", "imagen-worker:latest"])
    def test_is_found_with_an_image_that_may_be_any(self, image: str) -> None:
        said = of_a_worker(lambda _pod, worker: worker.update(image=image))

        assert said == ["worker has an image without a tag of its own"]

    @pytest.mark.parametrize(
        ("field", "said"),
        [
            ("serviceAccountName", "the pod is the namespace's default account"),
            ("automountServiceAccountToken", "the pod has a token for the Kubernetes API"),
            ("terminationGracePeriodSeconds", "the pod does not say how long it takes to stop"),
        ],
    )
    def test_is_found_in_a_pod_that_says_too_little(self, field: str, said: str) -> None:
        assert of_a_worker(lambda pod, _worker: pod.pop(field)) == [said]

    def test_is_found_with_a_folder_that_may_fill_the_node(self) -> None:
        said = of_a_worker(lambda pod, _worker: pod["volumes"].append({"name": "more", "emptyDir": {}}))

        assert said == ["the volume more has no limit"]


class TestEveryMount:
    def test_is_of_a_volume_of_its_pod(self, manifests: list[Manifest]) -> None:
        for name, template in pod_templates(manifests):
            volumes = {volume["name"] for volume in template["spec"].get("volumes", ())}
            mounts = [m["name"] for each in template["spec"]["containers"] for m in each.get("volumeMounts", ())]

            assert set(mounts) <= volumes, name

    def test_is_of_a_claim_that_is_there(self, manifests: list[Manifest]) -> None:
        claims = {each["metadata"]["name"] for each in of_kind(manifests, "PersistentVolumeClaim")}
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for _, template in pod_templates(manifests)
            for volume in template["spec"].get("volumes", ())
            if "persistentVolumeClaim" in volume
        }

        assert used == claims == {"models-pvc"}


class TestEveryPod:
    def test_is_an_account_that_is_there(self, manifests: list[Manifest]) -> None:
        accounts = {each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")}

        assert {template["spec"]["serviceAccountName"] for _, template in pod_templates(manifests)} <= accounts
