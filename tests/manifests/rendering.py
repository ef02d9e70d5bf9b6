"""What kustomize makes of a folder of k8s/, as Python values."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.running_site import ROOT

K8S = ROOT / "k8s"
OVERLAYS = ("dev", "prod")
_BUILT_IN = re.compile(r"v1|(apps|batch|policy|autoscaling|networking\.k8s\.io|scheduling\.k8s\.io)/v\d")

Manifest = dict[str, Any]
# An overlay has two thousand lines, which the parser in Python takes a second for.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def rendered(overlay: str) -> list[Manifest]:
    """Return the manifests of an overlay. They are shared: whoever changes one copies it first."""
    return build(K8S / "overlays" / overlay)


@functools.cache
def build(folder: Path) -> list[Manifest]:
    """Return what `kubectl kustomize` makes of a folder; an AssertionError with its complaint where it makes nothing."""
    return _kustomize(folder)


def _kustomize(folder: Path) -> list[Manifest]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    return [manifest for manifest in yaml.load_all(done.stdout, Loader=_LOADER) if manifest]


@functools.cache
def build_with(component: Path, *resources: Path) -> list[Manifest]:
    """Return the resources, else all of Imagen, with one component switched on."""
    resources = resources or (K8S / "base", K8S / "triton", K8S / "workers")
    with tempfile.TemporaryDirectory() as scratch:
        # kustomize takes no absolute paths.
        kustomization = {
            "resources": [os.path.relpath(path, scratch) for path in resources],
            "components": [os.path.relpath(component, scratch)],
        }
        (Path(scratch) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return _kustomize(Path(scratch))


def components() -> list[Path]:
    """Return the folders that switch one thing, wherever they are."""
    return sorted(
        path.parent
        for path in K8S.rglob("kustomization.yaml")
        if yaml.safe_load(path.read_text())["kind"] == "Component"
    )


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of kind {kind} are named {name}"
    return found[0]


def built_in(manifest: Manifest) -> bool:
    """Return whether the kind is one of Kubernetes' own."""
    return bool(_BUILT_IN.fullmatch(manifest["apiVersion"]))


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in manifests if each["kind"] in kinds]


def pod_templates(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    """Return the name of each workload with the template of its pods."""
    found = []
    for each in of_kind(manifests, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
        spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each["spec"]
        found.append((f"{each['kind']}/{each['metadata']['name']}", spec["template"]))
    return found
