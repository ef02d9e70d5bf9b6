"""What every container must say: what it needs, what it may, and how it is asked whether it is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def omissions(kind: str, template: dict[str, Any]) -> list[str]:
    """Return what the containers of a workload leave out. A Job's are asked no probe: they end by themselves."""
    wanted = () if kind in {"Job", "CronJob"} else _PROBES
    spec = template["spec"]
    containers = [*spec.get("initContainers", ()), *spec["containers"]]
    said = [sentence for each in containers for sentence in _of(each, wanted)]
    return [*said, *_of_the_pod(spec)]


def _of(container: dict[str, Any], probes: tuple[str, ...]) -> Iterator[str]:
    name, resources = container["name"], container.get("resources", {})
    for kind in ("requests", "limits"):
        for resource in _RESOURCES:
            if resource not in resources.get(kind, {}):
                yield f"{name} has no {kind} of {resource}"
    for probe in probes:
        if not any(way in container.get(probe, {}) for way in ("exec", "httpGet", "tcpSocket", "grpc")):
            yield f"{name} has no {probe}"
    if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield f"{name} may write to its own file system"
    if "image" not in container or container["image"].endswith(":latest") or ":" not in container["image"]:
        yield f"{name} has an image without a tag of its own"


def _of_the_pod(spec: dict[str, Any]) -> Iterator[str]:
    if not spec.get("serviceAccountName"):
        yield "the pod is the namespace's default account"
    if spec.get("automountServiceAccountToken") is not False:
        yield "the pod has a token for the Kubernetes API"
    if "terminationGracePeriodSeconds" not in spec:
        yield "the pod does not say how long it takes to stop"
    for volume in spec.get("volumes", ()):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"the volume {volume['name']} has no limit"
