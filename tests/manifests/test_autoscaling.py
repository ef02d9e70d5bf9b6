"""The two ways to scale say the same, and no overlay has both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from bench.simulation import manifests
from bench.simulation.assumptions import OPERATIONS
from bench.simulation.manifests import PENDING_REQUESTS, QUEUE_SECONDS, TRITON, Unreadable
from jobs import operations
from tests.manifests.rendering import K8S, OVERLAYS, find, of_kind, rendered
from tests.running_site import ROOT

if TYPE_CHECKING:
    from bench.simulation.autoscaler import Autoscaler

pytestmark = pytest.mark.deployment

NATIVE, KEDA = K8S / "autoscaling/hpa", K8S / "autoscaling/keda"
# DESIGN's table.
WORKERS = {
    "upscale-worker": "upscale",
    "enhance-worker": "enhance",
    "comic-worker": "style_comic",
    "aged-worker": "style_aged",
    "background-remove-worker": "background_remove",
}


@pytest.fixture(scope="module")
def native() -> dict[str, Autoscaler]:
    return manifests.autoscalers(manifests.render(NATIVE))


@pytest.fixture(scope="module")
def keda() -> dict[str, Autoscaler]:
    return manifests.autoscalers(manifests.render(KEDA))


class TestTheTwoComponents:
    def test_scale_the_same_deployments_by_the_same_numbers(
        self, native: dict[str, Autoscaler], keda: dict[str, Autoscaler]
    ) -> None:
        # KEDA reaches zero where Kubernetes alone may not.
        one_at_least = {name: replace(each, minimum=max(1, each.minimum)) for name, each in keda.items()}

        assert one_at_least == native

    def test_do_not_build_together(self) -> None:
        with manifests.overlay_of(NATIVE, KEDA) as overlay, pytest.raises(Unreadable, match="already registered id"):
            manifests.render(overlay)

    def test_are_refused_together_however_they_came_there(self) -> None:
        both = [*manifests.render(NATIVE), *manifests.render(KEDA)]

        with pytest.raises(Unreadable, match="HorizontalPodAutoscaler and ScaledObject"):
            manifests.autoscalers(both)

    def test_call_tritons_autoscaler_by_one_name(self) -> None:
        made_by_keda = find(manifests.render(KEDA), "ScaledObject", TRITON)["spec"]["advanced"]

        assert find(manifests.render(NATIVE), "HorizontalPodAutoscaler", "triton-hpa")
        assert made_by_keda["horizontalPodAutoscalerConfig"]["name"] == "triton-hpa"

    def test_give_keda_the_project_of_the_overlay(self) -> None:
        names = yaml.safe_load((K8S / "names/project.yaml").read_text())
        targets = [each for each in names["replacements"][0]["targets"] if each["select"]["kind"] == "ScaledObject"]
        addresses = [
            trigger["metadata"]["serverAddress"].split("/")
            for scaled in of_kind(manifests.render(KEDA), "ScaledObject")
            for trigger in scaled["spec"]["triggers"]
        ]

        assert {address[targets[0]["options"]["index"]] for address in addresses} == {"PROJECT"}


class TestWhatIsAskedOfCloudMonitoring:
    """By its whole name: a metric that nobody writes reads as <unknown>, and nothing is ever scaled."""

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_are_gauges_of_prometheus_from_the_namespace_of_the_rules(self, overlay: str) -> None:
        recorded = {rules["metadata"]["namespace"] for rules in of_kind(rendered(overlay), "Rules")}
        asked = find(rendered(overlay), "HorizontalPodAutoscaler", "triton-hpa")["spec"]["metrics"]

        assert [each["external"]["metric"]["name"] for each in asked] == [
            f"prometheus.googleapis.com|{series}|gauge" for series in (QUEUE_SECONDS, PENDING_REQUESTS)
        ]
        assert [
            {each["external"]["metric"]["selector"]["matchLabels"]["resource.labels.namespace"]} for each in asked
        ] == [
            recorded,
            recorded,
        ]

    def test_are_the_same_gauges_for_keda(self) -> None:
        triggers = find(manifests.render(KEDA), "ScaledObject", TRITON)["spec"]["triggers"]

        assert [trigger["metadata"]["query"] for trigger in triggers] == [
            f'max({QUEUE_SECONDS}{{namespace="imagen"}})',
            f'sum({PENDING_REQUESTS}{{namespace="imagen"}})',
        ]

    def test_are_for_keda_what_pubsub_counts(self) -> None:
        metric = "pubsub_googleapis_com:subscription_num_undelivered_messages"
        queries = [
            trigger["metadata"]["query"]
            for scaled in of_kind(manifests.render(KEDA), "ScaledObject")
            for trigger in scaled["spec"]["triggers"]
            if scaled["metadata"]["name"] != TRITON
        ]

        assert sorted(queries) == [
            f'sum({metric}{{monitored_resource="pubsub_subscription",subscription_id="{name}"}})'
            for name in sorted(OPERATIONS)
        ]

    def test_keeps_kedas_pods_where_there_is_no_answer(self) -> None:
        triggers = [each for it in of_kind(manifests.render(KEDA), "ScaledObject") for each in it["spec"]["triggers"]]

        assert {each["metadata"]["ignoreNullValues"] for each in triggers} == {"false"}


class TestEachWorker:
    def test_has_an_autoscaler_from_the_subscription_of_its_operation(self, native: dict[str, Autoscaler]) -> None:
        scaled = {name: OPERATIONS[manifests.subscription(each)] for name, each in native.items() if name != TRITON}

        assert scaled == WORKERS
        assert {f"{each.topic}-sub": name for name, each in operations.OPERATIONS.items()} == OPERATIONS

    def test_has_up_to_twenty_pods_at_two_messages(
        self, native: dict[str, Autoscaler], keda: dict[str, Autoscaler]
    ) -> None:
        limits = {(each.minimum, each.maximum) for name, each in native.items() if name != TRITON}
        goals = {(target.kind, target.goal) for name in WORKERS for target in native[name].targets}

        assert limits == {(1, 20)}
        assert {keda[name].minimum for name in WORKERS} == {0}
        assert goals == {("AverageValue", 2)}

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_takes_as_many_jobs_at_once_as_are_counted_for_it(self, overlay: str) -> None:
        assert manifests.jobs_of_a_worker(rendered(overlay)) == 2


class TestTriton:
    def test_has_one_to_three_cards_by_latency_or_pending_requests(self, native: dict[str, Autoscaler]) -> None:
        triton = native[TRITON]
        goals = {target.metric: (target.kind, target.goal) for target in triton.targets}

        assert (triton.minimum, triton.maximum) == (1, 3)
        assert goals == {QUEUE_SECONDS: ("Value", 0.1), PENDING_REQUESTS: ("AverageValue", 8)}

    def test_waits_longer_in_production(self) -> None:
        latency = {overlay: manifests.autoscalers(rendered(overlay))[TRITON].targets[0].goal for overlay in OVERLAYS}

        assert latency == {"dev": 0.1, "prod": 10}

    def test_has_room_in_one_models_queue_for_all_that_its_workers_can_send(
        self, native: dict[str, Autoscaler]
    ) -> None:
        settings = (ROOT / "triton_models/repository/upscale/config.pbtxt").read_text()
        most = native["upscale-worker"].maximum * manifests.jobs_of_a_worker(rendered("prod"))

        assert "max_queue_size: 64" in settings
        assert most <= 64


class TestEveryOverlay:
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_scales_only_deployments_that_it_has(self, overlay: str) -> None:
        deployments = {each["metadata"]["name"] for each in of_kind(rendered(overlay), "Deployment")}

        assert set(manifests.autoscalers(rendered(overlay))) == {TRITON, *WORKERS} <= deployments

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_records_the_numbers_that_triton_is_scaled_by(self, overlay: str) -> None:
        recorded = {
            rule.get("record")
            for rules in of_kind(rendered(overlay), "Rules")
            for group in rules["spec"]["groups"]
            for rule in group["rules"]
        }
        asked = {target.metric for target in manifests.autoscalers(rendered(overlay))[TRITON].targets}

        assert asked <= recorded
