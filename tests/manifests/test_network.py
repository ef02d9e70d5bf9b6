"""Who may talk to whom in the cluster, and that whoever works it out here does it as Kubernetes does."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from jobs.operations import OPERATIONS
from tests.manifests.network import Address, Pod, allows, matches, receives
from tests.manifests.rendering import K8S, build_with, find, of_kind, pod_templates, rendered

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

HTTP, GRPC, TRITON_METRICS, WORKER_METRICS = 8000, 8001, 8002, 9100
COLLECTOR = Pod({"app.kubernetes.io/name": "collector"}, "gke-gmp-system")
STRANGERS = {
    "another pod of the namespace": Pod({"app": "curl"}),
    "a pod that says it is a worker, of another namespace": Pod({"app.kubernetes.io/component": "worker"}, "default"),
    "a pod of another namespace": Pod({}, "default"),
    "a collector": COLLECTOR,
    "the fetching job": Pod({"app.kubernetes.io/component": "models-fetch"}),
    "an address in our network": Address("10.1.2.3"),
    "an address outside": Address("203.0.113.7"),
}
DNS = {
    "kube-dns": Pod({"k8s-app": "kube-dns"}, "kube-system"),
    "the node's own cache": Pod({"k8s-app": "node-local-dns"}, "kube-system"),
    "the node's own cache by its address": Address("169.254.20.10"),
    "Cloud DNS": Address("169.254.169.254"),
}
GOOGLE, ANYBODY, DATABASE = Address("142.250.1.95"), Address("203.0.113.7"), Address("10.20.0.5")
METADATA, PRIVATE_GOOGLE = Address("169.254.169.254"), Address("199.36.153.9")
OLDER_METADATA = Address("169.254.169.252")


def policies(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "NetworkPolicy")


def pods(manifests: list[Manifest]) -> dict[str, Pod]:
    """Return a pod of each workload, by the workload's name."""
    return {name.split("/")[1]: Pod(template["metadata"]["labels"]) for name, template in pod_templates(manifests)}


WORKERS = [operation.worker for operation in OPERATIONS.values()]


class TestTriton:
    @pytest.mark.parametrize("port", [HTTP, GRPC])
    @pytest.mark.parametrize("worker", WORKERS)
    def test_is_reached_by_workers(self, manifests: list[Manifest], worker: str, port: int) -> None:
        there = pods(manifests)

        assert allows(policies(manifests), there[worker], there["triton-inference-server"], port)

    @pytest.mark.parametrize("port", [HTTP, GRPC])
    @pytest.mark.parametrize("stranger", STRANGERS)
    def test_is_reached_by_nobody_else(self, manifests: list[Manifest], stranger: str, port: int) -> None:
        triton = pods(manifests)["triton-inference-server"]

        assert not allows(policies(manifests), STRANGERS[stranger], triton, port)

    @pytest.mark.parametrize("port", [HTTP, GRPC])
    def test_refuses_others_by_itself_whatever_they_may_send(self, manifests: list[Manifest], port: int) -> None:
        there = pods(manifests)
        callers = {**STRANGERS, **there}

        taken = {
            name
            for name, caller in callers.items()
            if receives(policies(manifests), caller, there["triton-inference-server"], port)
        }

        assert taken == set(WORKERS)

    def test_shows_its_metrics_to_googles_collectors_alone(self, manifests: list[Manifest]) -> None:
        there = pods(manifests)
        callers = {**STRANGERS, **there}

        seen = {
            name
            for name, caller in callers.items()
            if allows(policies(manifests), caller, there["triton-inference-server"], TRITON_METRICS)
        }

        assert seen == {"a collector"}

    def test_reaches_no_worker(self, manifests: list[Manifest]) -> None:
        there = pods(manifests)

        for port in (HTTP, GRPC, WORKER_METRICS, 443):
            assert not allows(policies(manifests), there["triton-inference-server"], there["upscale-worker"], port)


class TestAWorker:
    @pytest.mark.parametrize("worker", WORKERS)
    def test_shows_its_metrics_to_googles_collectors_alone(self, manifests: list[Manifest], worker: str) -> None:
        there = pods(manifests)
        callers = {**STRANGERS, **there}

        seen = {
            name
            for name, caller in callers.items()
            if allows(policies(manifests), caller, there[worker], WORKER_METRICS)
        }

        assert seen == {"a collector"}

    @pytest.mark.parametrize("worker", WORKERS)
    def test_reaches_googles_apis_and_neither_our_networks_nor_other_ports(
        self, manifests: list[Manifest], worker: str
    ) -> None:
        here, rules = pods(manifests)[worker], policies(manifests)

        assert allows(rules, here, GOOGLE, 443)
        assert not allows(rules, here, GOOGLE, 80)
        assert not allows(rules, here, DATABASE, 443)
        assert not allows(rules, here, DATABASE, 5432)


class TestEveryPod:
    @pytest.mark.parametrize("server", DNS)
    @pytest.mark.parametrize("protocol", ["UDP", "TCP"])
    def test_asks_for_names(self, manifests: list[Manifest], server: str, protocol: str) -> None:
        for name, pod in pods(manifests).items():
            assert allows(policies(manifests), pod, DNS[server], 53, protocol), name

    @pytest.mark.parametrize("port", [80, 8080])
    def test_learns_who_it_is(self, manifests: list[Manifest], port: int) -> None:
        for name, pod in pods(manifests).items():
            assert allows(policies(manifests), pod, METADATA, port), name

    def test_learns_who_it_is_without_dataplane_v2_too(self, manifests: list[Manifest]) -> None:
        for name, pod in pods(manifests).items():
            assert allows(policies(manifests), pod, OLDER_METADATA, 988), name

    def test_reaches_no_database_of_ours(self, manifests: list[Manifest]) -> None:
        for name, pod in pods(manifests).items():
            for port in (443, 5432, 6379):
                assert not allows(policies(manifests), pod, DATABASE, port), name

    def test_reads_or_writes_its_bucket(self, manifests: list[Manifest]) -> None:
        for name, pod in pods(manifests).items():
            assert allows(policies(manifests), pod, GOOGLE, 443), name

    def test_is_asked_whether_it_is_well_without_the_network(self, manifests: list[Manifest]) -> None:
        for name, template in pod_templates(manifests):
            probes = [
                value
                for container in template["spec"]["containers"]
                for key, value in container.items()
                if key.endswith("Probe")
            ]
            assert all("exec" in probe for probe in probes), name


class TestGooglesCollectors:
    def test_reach_all_that_they_are_told_to_scrape(self, manifests: list[Manifest]) -> None:
        rules, scraped = policies(manifests), of_kind(manifests, "PodMonitoring")

        for monitoring in scraped:
            chosen = [
                template
                for _, template in pod_templates(manifests)
                if matches(monitoring["spec"]["selector"], template["metadata"]["labels"])
            ]
            assert chosen, monitoring["metadata"]["name"]
            for template in chosen:
                ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0]["ports"]}
                for endpoint in monitoring["spec"]["endpoints"]:
                    assert allows(rules, COLLECTOR, Pod(template["metadata"]["labels"]), ports[endpoint["port"]])
        assert len(scraped) == 2


class TestAPodThatNobodyThoughtOf:
    def test_reaches_nothing_and_is_reached_by_nothing(self, manifests: list[Manifest]) -> None:
        rules, stray, there = policies(manifests), Pod({"app": "stray"}), pods(manifests)

        assert not allows(rules, stray, GOOGLE, 443)
        assert not allows(rules, stray, METADATA, 80)
        assert not allows(rules, stray, there["triton-inference-server"], GRPC)
        assert not allows(rules, there["upscale-worker"], stray, 8080)
        assert not allows(rules, COLLECTOR, stray, WORKER_METRICS)


class TestPrivateGoogleApis:
    def test_leave_workers_and_triton_no_other_way_out(self) -> None:
        manifests = build_with(K8S / "components/private-google-apis")
        there, rules = pods(manifests), policies(manifests)

        for name in ("upscale-worker", "triton-inference-server"):
            assert allows(rules, there[name], PRIVATE_GOOGLE, 443)
            assert not allows(rules, there[name], ANYBODY, 443)
        assert allows(rules, there["models-fetch"], ANYBODY, 443)


class TestTheseTests:
    """Break the policies, and see that it is seen."""

    def rules_without(self, name: str) -> list[Manifest]:
        return [each for each in policies(rendered("prod")) if each["metadata"]["name"] != name]

    def test_notice_when_nothing_denies(self) -> None:
        there = pods(rendered("prod"))["triton-inference-server"]

        assert allows([], STRANGERS["another pod of the namespace"], there, GRPC)
        assert allows(self.rules_without("default-deny"), Pod({"app": "stray"}), GOOGLE, 443, "TCP") is False
        assert allows(self.rules_without("default-deny"), COLLECTOR, Pod({"app": "stray"}), 80)

    @pytest.mark.parametrize("name", ["workers-to-triton", "triton-from-workers"])
    def test_notice_when_one_end_is_closed(self, name: str) -> None:
        there = pods(rendered("prod"))

        assert not allows(self.rules_without(name), there["upscale-worker"], there["triton-inference-server"], GRPC)

    def test_notice_when_triton_is_opened_to_the_namespace(self) -> None:
        rules = copy.deepcopy(policies(rendered("prod")))
        find(rules, "NetworkPolicy", "triton-from-workers")["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]
        find(rules, "NetworkPolicy", "workers-to-triton")["spec"]["podSelector"] = {}
        there = pods(rendered("prod"))["triton-inference-server"]

        assert allows(rules, STRANGERS["another pod of the namespace"], there, GRPC)


class TestASelector:
    @pytest.mark.parametrize(
        ("selector", "labels", "taken"),
        [
            ({}, {"a": "1"}, True),
            ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
            ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
            ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
            ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
            ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
            ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
            ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ],
    )
    def test_takes_labels_as_kubernetes_does(
        self,
        selector: dict[str, Any],
        labels: dict[str, str],
        taken: bool,  # noqa: FBT001 - a table's column
    ) -> None:
        assert matches(selector, labels) is taken
