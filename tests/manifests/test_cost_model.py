"""What the cost model takes for granted of the manifests (imagen_site/cost/model.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imagen_site.cost import model
from tests.manifests.quantities import amount

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

GIB = 2**30


def requests(deployment: Manifest) -> tuple[float, float]:
    """Return the CPUs and GiB that a pod asks for."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked = container["resources"]["requests"]
    return amount(asked["cpu"]), amount(asked["memory"]) / GIB


def gke_keeps(gib: float) -> float:
    """
    Return the GiB of a machine that no pod gets.

    A quarter of the first four, a fifth of the next four, a tenth of the next eight, 6 % of the rest, and 100 MiB.
    https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes
    """
    return 0.25 * 4 + 0.2 * 4 + 0.1 * 8 + 0.06 * (gib - 16) + 0.1


class TestTheCostModel:
    def test_pays_for_what_workers_ask_for(self, manifests: list[Manifest]) -> None:
        workers = [
            manifest
            for manifest in manifests
            if manifest["kind"] == "Deployment"
            and manifest["metadata"]["labels"].get("app.kubernetes.io/component") == "worker"
        ]

        assert len(workers) == model.WORKERS
        assert {requests(worker) for worker in workers} == {(model.WORKER_CPUS, model.WORKER_GIB)}

    @pytest.mark.parametrize("card", sorted(model.MACHINE_GIB))
    def test_takes_a_machine_that_triton_fits_on(self, manifests: list[Manifest], card: str) -> None:
        (triton,) = (each for each in manifests if each["metadata"]["name"] == "triton-inference-server")

        has = model.MACHINE_GIB[card]
        assert requests(triton)[1] <= has - gke_keeps(has)
        # One size smaller would be too small.
        assert requests(triton)[1] > has / 2
