"""Pods get into a namespace that enforces *restricted*, and each breach of it is seen."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.manifests.pod_security import violations
from tests.manifests.rendering import build_with, components, find, pod_templates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

GOOD: dict[str, Any] = {
    "metadata": {},
    "spec": {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": "it", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
        ],
    },
}


def broken(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> list[str]:
    """Return what is said of GOOD after a change to its pod's spec and its container."""
    template = copy.deepcopy(GOOD)
    change(template["spec"], template["spec"]["containers"][0])
    return violations(template)


class TestTheNamespace:
    @pytest.mark.parametrize("mode", ["enforce", "audit", "warn"])
    def test_takes_restricted_pods_only_by_the_rules_of_one_version(self, manifests: list[Manifest], mode: str) -> None:
        labels = find(manifests, "Namespace", "imagen")["metadata"]["labels"]

        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"].startswith("v1.")


class TestEveryPod:
    def test_is_restricted(self, manifests: list[Manifest]) -> None:
        templates = pod_templates(manifests)

        assert {name: said for name, template in templates if (said := violations(template))} == {}
        assert len(templates) >= 7

    @pytest.mark.parametrize("component", components(), ids=lambda path: path.name)
    def test_stays_restricted_with_a_component(self, component: Path) -> None:
        templates = pod_templates(build_with(component))

        assert {name: said for name, template in templates if (said := violations(template))} == {}


class TestTheStandard:
    def test_takes_a_pod_that_asks_for_nothing(self) -> None:
        assert violations(GOOD) == []

    @pytest.mark.parametrize("name", ["hostNetwork", "hostPID", "hostIPC"])
    def test_refuses_the_hosts_namespaces(self, name: str) -> None:
        assert broken(lambda pod, _it: pod.update({name: True})) == [f"{name} is on"]

    @pytest.mark.parametrize("kind", ["hostPath", "nfs", "gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd"])
    def test_refuses_volumes_that_are_not_the_pods_own(self, kind: str) -> None:
        volume = {"name": "disk", kind: {}}

        assert broken(lambda pod, _it: pod.update(volumes=[volume])) == [f"the volume disk is a {kind}"]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"ports": [{"hostPort": 80}]}, "it takes port 80 of the host"),
            ({"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}, "it has a probe of another host"),
            ({"lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1"}}}}, "it has a probe of another host"),
        ],
    )
    def test_refuses_what_reaches_for_the_host(self, change: dict[str, Any], said: str) -> None:
        assert broken(lambda _pod, it: it.update(change)) == [said]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"privileged": True}, "it is privileged"),
            ({"allowPrivilegeEscalation": True}, "it may gain privileges"),
            ({"procMount": "Unmasked"}, "it sees all of /proc"),
            ({"capabilities": {"drop": ["NET_RAW"]}}, "it keeps capabilities"),
            ({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "it adds SYS_ADMIN"),
            ({"runAsUser": 0}, "it runs as root"),
            ({"runAsNonRoot": False}, "it may run as root"),
            ({"appArmorProfile": {"type": "Unconfined"}}, "it turns AppArmor off"),
            ({"seLinuxOptions": {"type": "spc_t"}}, "it chooses its SELinux label"),
            ({"seLinuxOptions": {"user": "system_u"}}, "it chooses its SELinux label"),
            ({"windowsOptions": {"hostProcess": True}}, "it is a process of the host"),
        ],
    )
    def test_refuses_a_container_with_more_rights(self, change: dict[str, Any], said: str) -> None:
        assert broken(lambda _pod, it: it["securityContext"].update(change)) == [said]

    def test_refuses_a_container_that_turns_seccomp_off(self) -> None:
        change = {"seccompProfile": {"type": "Unconfined"}}

        assert "it turns seccomp off" in broken(lambda _pod, it: it["securityContext"].update(change))

    @pytest.mark.parametrize(
        ("missing", "said"),
        [("allowPrivilegeEscalation", "it may gain privileges"), ("capabilities", "it keeps capabilities")],
    )
    def test_refuses_a_container_that_does_not_give_its_rights_up(self, missing: str, said: str) -> None:
        assert broken(lambda _pod, it: it["securityContext"].pop(missing)) == [said]

    @pytest.mark.parametrize(
        ("missing", "said"), [("runAsNonRoot", "it may run as root"), ("seccompProfile", "it has no seccomp profile")]
    )
    def test_refuses_a_pod_that_says_nothing(self, missing: str, said: str) -> None:
        assert broken(lambda pod, _it: pod["securityContext"].pop(missing)) == [said]

    def test_takes_what_each_container_says_where_the_pod_says_nothing(self) -> None:
        def move(pod: dict[str, Any], it: dict[str, Any]) -> None:
            it["securityContext"].update(pod.pop("securityContext"))

        assert broken(move) == []

    def test_asks_init_containers_too(self) -> None:
        assert "early may gain privileges" in broken(lambda pod, _it: pod.update(initContainers=[{"name": "early"}]))

    def test_refuses_a_pod_that_changes_the_kernel(self) -> None:
        sysctls = [{"name": "kernel.msgmax", "value": "1"}]

        assert broken(lambda pod, _it: pod["securityContext"].update(sysctls=sysctls)) == ["the pod sets kernel.msgmax"]

    def test_refuses_the_older_way_to_turn_apparmor_off(self) -> None:
        note = "container.apparmor.security.beta.kubernetes.io/it"

        assert violations({**GOOD, "metadata": {"annotations": {note: "unconfined"}}}) == [f"{note} is unconfined"]
