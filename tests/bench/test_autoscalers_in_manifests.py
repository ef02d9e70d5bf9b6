"""Settings as they are written, by Kubernetes' names and by KEDA's."""

from __future__ import annotations

import pytest
import yaml

from bench.simulation import manifests
from bench.simulation.autoscaler import DEFAULT_DOWN, DEFAULT_UP, Autoscaler, Policy, Rules, Target
from bench.simulation.manifests import QUEUE_SECONDS, Manifest, Unreadable

NATIVE = """
kind: HorizontalPodAutoscaler
spec:
  scaleTargetRef: {kind: Deployment, name: upscale-worker}
  minReplicas: 1
  maxReplicas: 20
  metrics:
    - type: External
      external:
        metric:
          name: pubsub.googleapis.com|subscription|num_undelivered_messages
          selector: {matchLabels: {resource.labels.subscription_id: upscale-jobs-sub}}
        target: {type: AverageValue, averageValue: "2"}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 600
      policies: [{type: Percent, value: 50, periodSeconds: 300}]
"""
KEDA = """
kind: ScaledObject
spec:
  scaleTargetRef: {name: upscale-worker}
  minReplicaCount: 1
  maxReplicaCount: 20
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 600
          policies: [{type: Percent, value: 50, periodSeconds: 300}]
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        query: sum(pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id="upscale-jobs-sub"})
        threshold: "2"
"""
EXPECTED = Autoscaler(
    "upscale-worker",
    1,
    20,
    (Target("upscale-jobs-sub", "AverageValue", 2),),
    up=DEFAULT_UP,
    down=Rules(window=600, policies=(Policy("Percent", 50, 300),)),
)


def read(*texts: str) -> dict[str, Autoscaler]:
    return manifests.autoscalers([yaml.safe_load(text) for text in texts])


def deployment(name: str, variables: dict[str, str]) -> Manifest:
    env = [{"name": each, "value": value} for each, value in variables.items()]
    return {
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [{"env": env}]}}},
    }


class TestAnAutoscaler:
    @pytest.mark.parametrize("text", [NATIVE, KEDA], ids=["native", "keda"])
    def test_is_the_same_by_either_name(self, text: str) -> None:
        assert read(text) == {"upscale-worker": EXPECTED}

    @pytest.mark.parametrize(("written", "seconds"), [("100m", 0.1), ('"10"', 10), ("1k", 1000), ("2.5", 2.5)])
    def test_has_its_goal_in_plain_numbers(self, written: str, seconds: float) -> None:
        triton = NATIVE.replace(
            "pubsub.googleapis.com|subscription|num_undelivered_messages", f"prometheus|{QUEUE_SECONDS}"
        )
        triton = triton.replace('{type: AverageValue, averageValue: "2"}', f"{{type: Value, value: {written}}}")

        assert read(triton)["upscale-worker"].targets == (Target(QUEUE_SECONDS, "Value", seconds),)

    def test_goes_by_kubernetes_own_rules_where_it_says_none(self) -> None:
        silent = NATIVE[: NATIVE.index("  behavior")]

        assert read(silent)["upscale-worker"].down == DEFAULT_DOWN


class TestWhatCannotBeRead:
    def test_is_two_autoscalers_of_one_deployment(self) -> None:
        with pytest.raises(Unreadable, match="Two autoscalers rule upscale-worker"):
            read(NATIVE, NATIVE)

    def test_is_two_kinds_of_autoscaler(self) -> None:
        with pytest.raises(Unreadable, match="HorizontalPodAutoscaler and ScaledObject"):
            read(NATIVE, KEDA)

    def test_is_a_metric_that_the_simulation_does_not_have(self) -> None:
        with pytest.raises(Unreadable, match="knows no metric like pods"):
            read(NATIVE.replace("pubsub.googleapis.com|subscription|num_undelivered_messages", "pods"))

    def test_is_a_quantity_of_another_kind(self) -> None:
        with pytest.raises(Unreadable, match="'2Gi' is no quantity"):
            read(NATIVE.replace('averageValue: "2"', "averageValue: 2Gi"))


class TestTheOtherSettings:
    def test_are_read_from_the_deployments(self) -> None:
        both = [
            deployment("upscale-worker", {"WORKER_JOBS": "3"}),
            deployment(manifests.TRITON, {"IMAGEN_ENGINE_CONCURRENCY": "5"}),
        ]

        assert (manifests.jobs_of_a_worker(both), manifests.threads_of_a_model(both)) == (3, 5)

    def test_are_the_programs_own_where_no_deployment_says_them(self) -> None:
        both = [deployment("upscale-worker", {}), deployment(manifests.TRITON, {})]

        assert (manifests.jobs_of_a_worker(both), manifests.threads_of_a_model(both)) == (4, 8)
