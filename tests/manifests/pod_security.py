"""
Kubernetes' Pod Security Standard *restricted*, asked of a pod's spec without a cluster.

Each rule takes a spec and returns sentences about what breaks it. Written from the standard's page
(https://kubernetes.io/docs/concepts/security/pod-security-standards/): baseline first, then what restricted adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Spec = dict[str, Any]

_LISTS = ("initContainers", "containers", "ephemeralContainers")
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_VOLUMES = {
    "name",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_PROFILES = {"RuntimeDefault", "Localhost"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def violations(template: dict[str, Any]) -> list[str]:
    """Return what keeps pods of this template out of a namespace that enforces *restricted*; nothing when they may in."""
    spec = template["spec"]
    rules = (_of_the_host, _of_volumes, _of_the_pod, _of_containers)
    return [*_of_annotations(template), *(sentence for rule in rules for sentence in rule(spec))]


def _containers(spec: Spec) -> Iterator[Spec]:
    for kind in _LISTS:
        yield from spec.get(kind, ())


def _of_annotations(template: dict[str, Any]) -> Iterator[str]:
    for name, value in template.get("metadata", {}).get("annotations", {}).items():
        if name.startswith(_APPARMOR) and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"{name} is {value}"


def _of_the_host(spec: Spec) -> Iterator[str]:
    for name in _HOST_NAMESPACES:
        if spec.get(name):
            yield f"{name} is on"
    for container in _containers(spec):
        for port in container.get("ports", ()):
            if port.get("hostPort"):
                yield f"{container['name']} takes port {port['hostPort']} of the host"
        for probe in _network_checks(container):
            if probe.get("host"):
                yield f"{container['name']} has a probe of another host"


def _network_checks(container: Spec) -> Iterator[Spec]:
    hooks = container.get("lifecycle", {})
    probes = [container.get(f"{kind}Probe", {}) for kind in ("liveness", "readiness", "startup")]
    for check in (*probes, *(hooks.get(kind, {}) for kind in ("postStart", "preStop"))):
        for way in ("httpGet", "tcpSocket"):
            yield check.get(way, {})


def _of_volumes(spec: Spec) -> Iterator[str]:
    for volume in spec.get("volumes", ()):
        for kind in sorted(volume.keys() - _VOLUMES):
            yield f"the volume {volume['name']} is a {kind}"


def _of_the_pod(spec: Spec) -> Iterator[str]:
    context = spec.get("securityContext", {})
    yield from _shared(context, "the pod")
    if context.get("runAsNonRoot") is False:
        yield "the pod may run as root"
    for sysctl in context.get("sysctls", ()):
        if sysctl["name"] not in _SYSCTLS:
            yield f"the pod sets {sysctl['name']}"


def _of_containers(spec: Spec) -> Iterator[str]:
    pod = spec.get("securityContext", {})
    for container in _containers(spec):
        context, name = container.get("securityContext", {}), container["name"]
        yield from _shared(context, name)
        yield from _privileges(context, name)
        # What a container does not say, its pod may have said.
        if not context.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield f"{name} may run as root"
        profile = context.get("seccompProfile", pod.get("seccompProfile", {}))
        if profile.get("type") not in _PROFILES:
            yield f"{name} has no seccomp profile"


def _privileges(context: Spec, name: str) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may gain privileges"
    if context.get("procMount", "Default") != "Default":
        yield f"{name} sees all of /proc"
    capabilities = context.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield f"{name} keeps capabilities"
    if added := set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds {', '.join(sorted(added))}"


def _shared(context: Spec, name: str) -> Iterator[str]:
    """Yield what pods and containers say in the same words."""
    if context.get("runAsUser") == 0:
        yield f"{name} runs as root"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{name} is a process of the host"
    if "seccompProfile" in context and context["seccompProfile"].get("type") not in _PROFILES:
        yield f"{name} turns seccomp off"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in _PROFILES:
        yield f"{name} turns AppArmor off"
    options = context.get("seLinuxOptions", {})
    if options.get("type", "") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
        yield f"{name} chooses its SELinux label"
