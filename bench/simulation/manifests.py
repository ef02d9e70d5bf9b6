"""The deployed autoscalers' settings, read from what `kubectl kustomize` makes of an overlay or a component."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench.simulation.autoscaler import DEFAULT_DOWN, DEFAULT_UP, Autoscaler, Policy, Rules, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
TRITON = "triton-inference-server"
QUEUE_SECONDS = "imagen:triton_queue_seconds:avg1m"
PENDING_REQUESTS = "imagen:triton_pending_requests:sum"
# WORKER_JOBS and IMAGEN_ENGINE_CONCURRENCY where nobody sets them.
_JOBS_OF_A_WORKER, _THREADS_OF_A_MODEL = 4, 8
_SUFFIXES = {"m": 1e-3, "": 1.0, "k": 1e3}

Manifest = dict[str, Any]


class Unreadable(Exception):
    """A manifest says something that the simulation does not know, or two say it of one Deployment."""


def render(folder: Path) -> list[Manifest]:
    """Return what an overlay, or a component alone, puts into the cluster. Raises Unreadable with kubectl's words."""
    if _is_component(folder):
        with overlay_of(folder) as overlay:
            return render(overlay)
    made = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Unreadable(f"{folder} does not build: {made.stderr.strip()}")
    return [each for each in yaml.safe_load_all(made.stdout) if each]


@contextmanager
def overlay_of(*components: Path) -> Iterator[Path]:
    """Make an overlay of nothing but these components, for a while."""
    with tempfile.TemporaryDirectory(prefix="imagen-overlay-") as name:
        # kustomize takes no absolute paths, and follows no link on the way up.
        folder = Path(name).resolve()
        named = [os.path.relpath(component.resolve(), folder) for component in components]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({"components": named}))
        yield folder


def autoscalers(manifests: Iterable[Manifest]) -> dict[str, Autoscaler]:
    """
    Return every autoscaler by the name of its Deployment, HorizontalPodAutoscalers and KEDA's ScaledObjects alike.

    Raises Unreadable when a Deployment has two, or both kinds are there.
    """
    readers = {"HorizontalPodAutoscaler": _native, "ScaledObject": _keda}
    ours = [each for each in manifests if each["kind"] in readers]
    if len(kinds := {each["kind"] for each in ours}) > 1:
        raise Unreadable(f"An overlay has one kind of autoscaler, this one has {' and '.join(sorted(kinds))}.")
    found: dict[str, Autoscaler] = {}
    for manifest in ours:
        read = readers[manifest["kind"]](manifest["spec"])
        if read.deployment in found:
            raise Unreadable(f"Two autoscalers rule {read.deployment}.")
        found[read.deployment] = read
    return found


def jobs_of_a_worker(manifests: Iterable[Manifest]) -> int:
    """Return how many jobs a worker takes at once; imagen_site/config.py's number where no manifest says one."""
    named = (_variable(each, "WORKER_JOBS") for each in _deployments(manifests, ending="-worker"))
    return next((int(value) for value in named if value), _JOBS_OF_A_WORKER)


def threads_of_a_model(manifests: Iterable[Manifest]) -> int:
    """Return how many requests a model takes at once; triton_models/serving.py's number where no manifest says one."""
    named = (_variable(each, "IMAGEN_ENGINE_CONCURRENCY") for each in _deployments(manifests, ending=TRITON))
    return next((int(value) for value in named if value), _THREADS_OF_A_MODEL)


def subscription(autoscaler: Autoscaler) -> str:
    """Return the Pub/Sub subscription that a worker's autoscaler counts."""
    return autoscaler.targets[0].metric


def _is_component(folder: Path) -> bool:
    # By its line: what is no YAML, kubectl says in its own words.
    return bool(re.search(r"^kind: *Component\b", (folder / "kustomization.yaml").read_text(), re.MULTILINE))


def _deployments(manifests: Iterable[Manifest], *, ending: str) -> list[Manifest]:
    named = [each for each in manifests if each["kind"] == "Deployment"]
    return [each for each in named if each["metadata"]["name"].endswith(ending)]


def _variable(deployment: Manifest, name: str) -> str | None:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    named = [each for container in containers for each in container.get("env", ()) if each["name"] == name]
    return named[0]["value"] if named else None


def _native(spec: Mapping[str, Any]) -> Autoscaler:
    return _autoscaler(
        spec["scaleTargetRef"]["name"],
        spec.get("minReplicas", 1),
        spec["maxReplicas"],
        [_native_target(metric["external"]) for metric in spec["metrics"]],
        spec.get("behavior", {}),
    )


def _native_target(external: Mapping[str, Any]) -> Target:
    name, target = external["metric"]["name"], external["target"]
    labels = external["metric"].get("selector", {}).get("matchLabels", {})
    goal = target["averageValue"] if target["type"] == "AverageValue" else target["value"]
    if name == "pubsub.googleapis.com|subscription|num_undelivered_messages":
        return Target(labels["resource.labels.subscription_id"], target["type"], _quantity(goal))
    return Target(_recorded_series(name), target["type"], _quantity(goal))


def _keda(spec: Mapping[str, Any]) -> Autoscaler:
    advanced = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {})
    return _autoscaler(
        spec["scaleTargetRef"]["name"],
        spec.get("minReplicaCount", 0),
        spec["maxReplicaCount"],
        [_keda_target(trigger) for trigger in spec["triggers"]],
        advanced.get("behavior", {}),
    )


def _keda_target(trigger: Mapping[str, Any]) -> Target:
    query, goal = trigger["metadata"]["query"], float(trigger["metadata"]["threshold"])
    if found := re.search(r'num_undelivered_messages{.*subscription_id="([^"]+)"', query):
        return Target(found[1], trigger["metricType"], goal)
    return Target(_recorded_series(query), trigger["metricType"], goal)


def _recorded_series(text: str) -> str:
    for series in (QUEUE_SECONDS, PENDING_REQUESTS):
        if series in text:
            return series
    raise Unreadable(f"The simulation knows no metric like {text}.")


def _autoscaler(
    deployment: str, minimum: int, maximum: int, targets: list[Target], behavior: Mapping[str, Any]
) -> Autoscaler:
    return Autoscaler(
        deployment,
        minimum,
        maximum,
        tuple(targets),
        up=_rules(behavior.get("scaleUp", {}), DEFAULT_UP),
        down=_rules(behavior.get("scaleDown", {}), DEFAULT_DOWN),
    )


def _rules(said: Mapping[str, Any], otherwise: Rules) -> Rules:
    policies = [Policy(each["type"], each["value"], each["periodSeconds"]) for each in said.get("policies", ())]
    return Rules(
        window=said.get("stabilizationWindowSeconds", otherwise.window),
        policies=tuple(policies) or otherwise.policies,
        select=said.get("selectPolicy", "Max"),
    )


def _quantity(text: str | int) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mk]?)", str(text))
    if not found:
        raise Unreadable(f"{text!r} is no quantity that the simulation knows.")
    return float(found[1]) * _SUFFIXES[found[2]]


@dataclass(frozen=True)
class Deployed:
    """What the simulation takes from the manifests."""

    autoscalers: Mapping[str, Autoscaler]
    jobs_of_a_worker: int
    threads_of_a_model: int


def deployed(folder: Path, *, scaled_by: Path | None = None) -> Deployed:
    """Read an overlay, with its own autoscalers or with those of another folder. Raises Unreadable."""
    manifests = render(folder)
    scaled = autoscalers(render(scaled_by) if scaled_by else manifests)
    if TRITON not in scaled or len(scaled) == 1:
        raise Unreadable(f"{scaled_by or folder} has no autoscalers for both {TRITON} and workers.")
    return Deployed(scaled, jobs_of_a_worker(manifests), threads_of_a_model(manifests))
