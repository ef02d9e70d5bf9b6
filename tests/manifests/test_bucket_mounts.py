"""A pod that mounts a bucket asks for what GKE puts beside it, and keeps no more of it than its node may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.manifests.quantities import amount
from tests.manifests.rendering import find, of_kind, pod_templates
from triton_models import weights

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

DRIVER = "gcsfuse.csi.storage.gke.io"
CACHE = "file-cache:max-size-mb:"


def drivers(template: Manifest, manifests: list[Manifest]) -> set[str]:
    """Return what mounts volumes of other machines into a pod, by the pod itself or by a claim of it."""
    volumes = template["spec"].get("volumes", ())
    claimed = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}
    behind = [
        each["spec"]["csi"]["driver"]
        for each in of_kind(manifests, "PersistentVolume")
        if each["spec"]["claimRef"]["name"] in claimed
    ]
    return {*behind, *(volume["csi"]["driver"] for volume in volumes if "csi" in volume)}


def triton(manifests: list[Manifest]) -> dict[str, Any]:
    return dict(find(manifests, "Deployment", "triton-inference-server")["spec"]["template"])


class TestAPodWithABucket:
    def test_is_triton_or_the_fetching_job(self, manifests: list[Manifest]) -> None:
        mounting = {
            name: found for name, template in pod_templates(manifests) if (found := drivers(template, manifests))
        }

        assert mounting == {"Deployment/triton-inference-server": {DRIVER}, "Job/models-fetch": {DRIVER}}

    def test_alone_asks_for_the_sidecar_that_mounts_it(self, manifests: list[Manifest]) -> None:
        # Without it the pod waits in ContainerCreating for ever.
        for name, template in pod_templates(manifests):
            asked = template["metadata"].get("annotations", {}).get("gke-gcsfuse/volumes") == "true"
            assert asked == bool(drivers(template, manifests)), name


class TestTheDiskOfTheFetchingJob:
    def test_is_lent_to_the_sidecar_that_writes_there_as_somebody_else(self, manifests: list[Manifest]) -> None:
        spec = find(manifests, "Job", "models-fetch")["spec"]["template"]["spec"]

        assert [each["name"] for each in spec["volumes"] if "ephemeral" in each] == ["gke-gcsfuse-buffer"]
        assert spec["securityContext"]["fsGroup"] > 0


class TestWhatANodeKeepsOfTheWeights:
    def test_has_room_for_all_of_them(self, manifests: list[Manifest]) -> None:
        most = sum(file.bytes for entry in weights.read_lock().values() for file in entry.files)

        assert self.kept(manifests) > most

    def test_stays_within_its_folder_and_the_sidecars_share(self, manifests: list[Manifest]) -> None:
        # A folder that outgrows its limit does not fill up: its pod is evicted, card and all.
        template = triton(manifests)
        (folder,) = [each["emptyDir"] for each in template["spec"]["volumes"] if each["name"] == "gke-gcsfuse-cache"]
        share = template["metadata"]["annotations"]["gke-gcsfuse/ephemeral-storage-limit"]

        assert 0 < self.kept(manifests) < amount(folder["sizeLimit"]) <= amount(share)

    def kept(self, manifests: list[Manifest]) -> float:
        options = find(manifests, "PersistentVolume", "imagen-models")["spec"]["mountOptions"]
        (size,) = [option.removeprefix(CACHE) for option in options if option.startswith(CACHE)]
        return int(size) * 2**20


class TestTheModelsClaim:
    def test_is_of_no_storage_class_like_its_volume(self, manifests: list[Manifest]) -> None:
        # One that says nothing gets the cluster's default class, and is never bound.
        claim, volume = (
            find(manifests, "PersistentVolumeClaim", "models-pvc"),
            find(manifests, "PersistentVolume", "imagen-models"),
        )

        assert claim["spec"].get("storageClassName") == volume["spec"].get("storageClassName") == ""
