"""Names, ports, variables and limits are those of the code and of DESIGN's section 5."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from imagen_site import config, liveness
from jobs.operations import OPERATIONS
from tests.manifests.quantities import amount
from tests.manifests.rendering import OVERLAYS, find, of_kind, rendered
from tests.running_site import ROOT
from triton_models import container, probe, volume_shell, weights
from triton_models.engines import OPERATIONS as MODELS
from triton_models.engines import required_engines

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

WORKERS = {operation.worker: operation for operation in OPERATIONS.values()}
TRITON = "triton-inference-server"
# Spot gives a pod 15 seconds; a worker has handed everything back by the twelfth (DESIGN, 4).
GRACE, HANDED_BACK = 15, 12
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def pod(manifests: list[Manifest], name: str) -> dict[str, Any]:
    return find(manifests, "Deployment", name)["spec"]["template"]["spec"]


def container_of(manifests: list[Manifest], name: str) -> dict[str, Any]:
    (only,) = pod(manifests, name)["containers"]
    return only


def environment(manifests: list[Manifest], name: str) -> dict[str, str]:
    """Return the variables of a deployment's container, those of its ConfigMaps included."""
    it = container_of(manifests, name)
    told: dict[str, str] = {}
    for source in it.get("envFrom", ()):
        told |= find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return told | {each["name"]: each["value"] for each in it.get("env", ())}


def project_of(manifests: list[Manifest]) -> str:
    return str(find(manifests, "ConfigMap", "imagen-config")["data"]["GOOGLE_CLOUD_PROJECT"])


class TestTheWorkers:
    def test_are_one_deployment_for_each_operation(self, manifests: list[Manifest]) -> None:
        deployments = {each["metadata"]["name"] for each in of_kind(manifests, "Deployment")}

        assert deployments - {TRITON} == set(WORKERS)

    @pytest.mark.parametrize("worker", WORKERS)
    def test_are_told_what_a_worker_must_know_and_no_more(self, manifests: list[Manifest], worker: str) -> None:
        told = config.load(environment(manifests, worker))

        assert (told.profile, told.service) == ("gcp", "worker")
        assert told.database == config.NO_DATABASE
        assert told.cloud is not None
        assert told.cloud.bucket == f"{told.cloud.project}-imagen"
        assert told.liveness_path is not None
        assert (told.metrics_host, told.metrics_port) == ("0.0.0.0", 9100)  # noqa: S104 - in its pod

    @pytest.mark.parametrize("worker", WORKERS)
    def test_take_the_jobs_of_their_own_queue(self, manifests: list[Manifest], worker: str) -> None:
        assert config.load(environment(manifests, worker)).worker_queue == WORKERS[worker].topic

    @pytest.mark.parametrize("worker", WORKERS)
    def test_go_round_all_tritons_that_are_ready(self, manifests: list[Manifest], worker: str) -> None:
        service = find(manifests, "Service", "triton-headless")

        assert environment(manifests, worker)["TRITON_URL"] == "triton-headless.imagen.svc.cluster.local:8001"
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"] == {"app": "triton"}
        assert service["spec"]["ports"] == [{"name": "grpc", "port": 8001, "targetPort": "grpc"}]
        assert not service["spec"].get("publishNotReadyAddresses")

    @pytest.mark.parametrize("worker", WORKERS)
    def test_hand_back_what_they_do_before_spot_takes_their_node(self, manifests: list[Manifest], worker: str) -> None:
        told = config.load(environment(manifests, worker))

        assert told.drain.total_seconds() < HANDED_BACK
        assert pod(manifests, worker)["terminationGracePeriodSeconds"] == GRACE

    @pytest.mark.parametrize("worker", WORKERS)
    def test_run_on_spot_without_a_card(self, manifests: list[Manifest], worker: str) -> None:
        spec, resources = pod(manifests, worker), container_of(manifests, worker)["resources"]

        assert spec["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
        assert "nvidia.com/gpu" not in {**resources["requests"], **resources["limits"]}

    @pytest.mark.parametrize("worker", WORKERS)
    def test_have_the_processor_and_the_memory_of_the_design(self, manifests: list[Manifest], worker: str) -> None:
        resources = container_of(manifests, worker)["resources"]

        assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("250m", "1")
        assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("512Mi", "2Gi")

    @pytest.mark.parametrize("worker", WORKERS)
    def test_are_found_by_the_labels_that_people_type(self, manifests: list[Manifest], worker: str) -> None:
        labels = find(manifests, "Deployment", worker)["spec"]["template"]["metadata"]["labels"]

        assert labels["app.kubernetes.io/component"] == "worker"
        assert labels["app.kubernetes.io/name"] == worker

    def test_do_not_select_the_pods_of_each_other(self, manifests: list[Manifest]) -> None:
        selectors = [find(manifests, "Deployment", name)["spec"]["selector"]["matchLabels"] for name in WORKERS]

        assert len({tuple(sorted(each.items())) for each in selectors}) == len(WORKERS)

    @pytest.mark.parametrize("worker", WORKERS)
    def test_are_asked_for_their_pulse_by_the_file_that_they_touch(
        self, manifests: list[Manifest], worker: str
    ) -> None:
        file = environment(manifests, worker)["LIVENESS_FILE"]
        script = str(ROOT / "imagen_site/liveness.py")

        for name in PROBES:
            python, *rest = container_of(manifests, worker)[name]["exec"]["command"]
            assert (python, [str(ROOT / rest[0]), *rest[1:]]) == ("python", [script, file])
        assert liveness.main([file + "-that-is-not-there"]) == 1


class TestTriton:
    def test_is_named_as_people_type_it(self, manifests: list[Manifest]) -> None:
        deployment = find(manifests, "Deployment", TRITON)

        assert deployment["spec"]["template"]["metadata"]["labels"]["app"] == "triton"

    def test_is_served_by_its_three_ports(self, manifests: list[Manifest]) -> None:
        numbers = {"http": 8000, "grpc": 8001, "metrics": 8002}
        ports = {each["name"]: each["containerPort"] for each in container_of(manifests, TRITON)["ports"]}
        service = find(manifests, "Service", "triton")["spec"]

        assert ports == numbers
        assert {each["name"]: each["port"] for each in service["ports"]} == numbers
        assert all(each["targetPort"] == each["name"] for each in service["ports"])
        assert (service["type"], service["selector"]) == ("ClusterIP", {"app": "triton"})

    def test_starts_a_server_with_all_models(self, manifests: list[Manifest]) -> None:
        python, flag, module, *arguments = container_of(manifests, TRITON)["args"]

        assert (python, flag, module) == ("python3", "-m", container.__name__)
        # That would take the place of tini.
        assert "command" not in container_of(manifests, TRITON)
        line = container.command([], arguments)
        assert [word for word in line if word.startswith("--load-model=")] == [f"--load-model={m}" for m in MODELS]
        # Else workers stay with the servers that they know (triton_models/container.py).
        assert fnmatch.filter(line, "--grpc-max-connection-age=*")

    @pytest.mark.parametrize(
        ("name", "question"), [("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")]
    )
    def test_is_asked_by_its_own_probe(self, manifests: list[Manifest], name: str, question: str) -> None:
        python, flag, module, *arguments = container_of(manifests, TRITON)[name]["exec"]["command"]

        asked = probe._parser().parse_args(arguments)

        assert (python, flag, module) == ("python3", "-m", probe.__name__)
        assert (asked.question, asked.http_port) == (question, 8000)

    def test_has_minutes_to_load(self, manifests: list[Manifest]) -> None:
        start = container_of(manifests, TRITON)["startupProbe"]
        deployment = find(manifests, "Deployment", TRITON)

        loading = start["periodSeconds"] * start["failureThreshold"]
        assert loading >= 600
        assert deployment["spec"]["progressDeadlineSeconds"] > loading

    def test_has_a_card_and_the_memory_of_the_design(self, manifests: list[Manifest]) -> None:
        resources = container_of(manifests, TRITON)["resources"]

        assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == 1
        assert resources["limits"]["memory"] == resources["requests"]["memory"] == "24Gi"

    def test_passes_images_through_enough_shared_memory(self, manifests: list[Manifest]) -> None:
        volumes = {each["name"]: each for each in pod(manifests, TRITON)["volumes"]}
        mounted = {m["mountPath"]: volumes[m["name"]] for m in container_of(manifests, TRITON)["volumeMounts"]}

        shared = mounted["/dev/shm"]["emptyDir"]  # noqa: S108 - the pod's, not ours
        assert shared["medium"] == "Memory"
        # It is taken from the container's memory, which the models need most of.
        assert amount("1Gi") <= amount(shared["sizeLimit"]) <= amount("4Gi")

    def test_stops_before_spot_takes_its_node(self, manifests: list[Manifest]) -> None:
        (stop,) = fnmatch.filter(container.command([], []), "--exit-timeout-secs=*")

        assert int(stop.split("=")[1]) < pod(manifests, TRITON)["terminationGracePeriodSeconds"] == GRACE

    def test_leaves_the_refiner_in_main_memory_as_a_t4_must(self, manifests: list[Manifest]) -> None:
        told = environment(manifests, TRITON)

        assert (told["IMAGEN_ENHANCE_OFFLOAD"], told["IMAGEN_DEVICE"]) == ("model", "cuda")

    def test_takes_a_t4_before_an_l4_and_spot_before_the_rest(self, manifests: list[Manifest]) -> None:
        rules = find(manifests, "ComputeClass", "triton")["spec"]["priorities"]

        assert [(rule["gpu"]["type"], rule["spot"]) for rule in rules] == [
            ("nvidia-tesla-t4", True),
            ("nvidia-tesla-t4", False),
            ("nvidia-l4", True),
            ("nvidia-l4", False),
        ]
        assert pod(manifests, TRITON)["nodeSelector"] == {"cloud.google.com/compute-class": "triton"}

    def test_reads_the_volume_where_its_image_looks_for_weights(self, manifests: list[Manifest]) -> None:
        (mount,) = [m for m in container_of(manifests, TRITON)["volumeMounts"] if m["name"] == "models"]
        dockerfile = (ROOT / "triton_models/Dockerfile").read_text()

        assert f"IMAGEN_MODELS_DIR={mount['mountPath']}" in dockerfile
        assert mount["readOnly"]

    def test_may_be_taken_one_at_a_time(self, manifests: list[Manifest]) -> None:
        budget = find(manifests, "PodDisruptionBudget", "triton")["spec"]

        assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, {"app": "triton"})


class TestProduction:
    def test_refuses_to_start_without_engines_that_can_be_had(self) -> None:
        required = required_engines(environment(rendered("prod"), TRITON))
        specs = {spec.name: spec for row in MODELS.values() for spec in row.engines}
        lock = weights.read_lock()

        entries = [lock[entry] for name in required for entry in specs[name].weights]
        assert [each.name for each in entries if not each.pinned or each.acceptance == "required"] == []
        assert all(not specs[name].light for name in required)

    def test_requires_every_main_engine_whose_weights_anybody_may_fetch(self) -> None:
        lock = weights.read_lock()
        to_be_had = {
            spec.name
            for row in MODELS.values()
            for spec in row.engines
            if not spec.light and all(lock[e].pinned and lock[e].acceptance != "required" for e in spec.weights)
        }

        assert required_engines(environment(rendered("prod"), TRITON)) == to_be_had


class TestTheFetchingJob:
    def test_fetches_all_that_is_pinned(self, manifests: list[Manifest]) -> None:
        (fetch,) = find(manifests, "Job", "models-fetch")["spec"]["template"]["spec"]["containers"]
        parser = argparse.ArgumentParser()
        volume_shell.add_commands(parser.add_subparsers())

        assert fetch["command"] == ["python3", "-m", "triton_models"]
        assert importlib.util.find_spec("triton_models.__main__")
        assert parser.parse_args(fetch["args"]).all

    def test_leaves_when_it_is_done_so_that_the_next_apply_can_make_another(self, manifests: list[Manifest]) -> None:
        assert find(manifests, "Job", "models-fetch")["spec"]["ttlSecondsAfterFinished"] <= 600

    def test_alone_may_write_to_the_bucket(self, manifests: list[Manifest]) -> None:
        volumes = find(manifests, "Job", "models-fetch")["spec"]["template"]["spec"]["volumes"]
        (models,) = [each["csi"] for each in volumes if each["name"] == "models"]
        volume = find(manifests, "PersistentVolume", "imagen-models")["spec"]

        assert not models.get("readOnly")
        assert models["volumeAttributes"]["bucketName"] == volume["csi"]["volumeHandle"]
        assert volume["csi"]["readOnly"]
        assert volume["accessModes"] == ["ReadOnlyMany"]

    def test_has_room_for_the_largest_file_before_it_is_on_the_bucket(self, manifests: list[Manifest]) -> None:
        volumes = find(manifests, "Job", "models-fetch")["spec"]["template"]["spec"]["volumes"]
        (buffer,) = [each["ephemeral"] for each in volumes if each["name"] == "gke-gcsfuse-buffer"]

        room = amount(buffer["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"])
        assert room > 2 * max(file.bytes for entry in weights.read_lock().values() for file in entry.files)


class TestTheModelsVolume:
    def test_is_claimed_by_the_name_of_the_design(self, manifests: list[Manifest]) -> None:
        claim, volume = (
            find(manifests, "PersistentVolumeClaim", "models-pvc"),
            find(manifests, "PersistentVolume", "imagen-models"),
        )

        assert claim["spec"]["accessModes"] == ["ReadOnlyMany"]
        assert claim["spec"]["resources"]["requests"]["storage"] == volume["spec"]["capacity"]["storage"] == "50Gi"
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        assert volume["spec"]["claimRef"] == {"namespace": "imagen", "name": "models-pvc"}

    def test_is_of_the_bucket_of_the_project(self, manifests: list[Manifest]) -> None:
        volume = find(manifests, "PersistentVolume", "imagen-models")["spec"]

        assert volume["csi"]["volumeHandle"] == f"{project_of(manifests)}-imagen-models"

    def test_belongs_to_the_user_that_reads_and_writes_it(self, manifests: list[Manifest]) -> None:
        fetch = find(manifests, "Job", "models-fetch")["spec"]["template"]["spec"]
        (models,) = [each["csi"]["volumeAttributes"] for each in fetch["volumes"] if each["name"] == "models"]
        users = {spec["securityContext"]["runAsUser"] for spec in (fetch, pod(manifests, TRITON))}
        (dockers,) = re.findall(r"^USER (\d+):\1$", (ROOT / "triton_models/Dockerfile").read_text(), re.MULTILINE)

        assert users == {int(dockers)}
        assert f"uid={dockers}" in models["mountOptions"].split(",")
        assert f"uid={dockers}" in find(manifests, "PersistentVolume", "imagen-models")["spec"]["mountOptions"]

    def test_is_larger_than_all_weights(self, manifests: list[Manifest]) -> None:
        capacity = find(manifests, "PersistentVolume", "imagen-models")["spec"]["capacity"]["storage"]

        assert amount(capacity) > sum(file.bytes for entry in weights.read_lock().values() for file in entry.files)


class TestTheProject:
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_is_written_into_every_name(self, overlay: str) -> None:
        words = [word for word in shlex.split(str(rendered(overlay)).replace("'", " ")) if "PROJECT" in word]

        assert [word for word in words if "GOOGLE_CLOUD_PROJECT" not in word] == []

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_is_named_once_in_its_overlay(self, overlay: str) -> None:
        folder = ROOT / "k8s/overlays" / overlay
        naming = [path.name for path in folder.iterdir() if project_of(rendered(overlay)) in path.read_text()]

        assert naming == ["project.yaml"]

    def test_has_the_images_in_its_own_registry(self, manifests: list[Manifest]) -> None:
        (registry,) = {container_of(manifests, name)["image"].rpartition("/")[0] for name in (*WORKERS, TRITON)}
        images = {
            name: container_of(manifests, name)["image"].split("/")[-1].split(":")[0] for name in (*WORKERS, TRITON)
        }

        assert fnmatch.fnmatch(registry, f"*-docker.pkg.dev/{project_of(manifests)}/imagen")
        assert images == {**dict.fromkeys(WORKERS, "worker"), TRITON: "triton"}


class TestTheAccounts:
    def test_are_those_that_terraform_gives_roles(self, manifests: list[Manifest]) -> None:
        accounts = {each["metadata"]["name"]: each for each in of_kind(manifests, "ServiceAccount")}

        assert {"worker", "triton", "models-fetch"} <= accounts.keys()
        assert pod(manifests, TRITON)["serviceAccountName"] == "triton"
        assert {pod(manifests, name)["serviceAccountName"] for name in WORKERS} == {"worker"}

    def test_have_no_token_for_the_kubernetes_api(self, manifests: list[Manifest]) -> None:
        mounted = [
            each["metadata"]["name"]
            for each in of_kind(manifests, "ServiceAccount")
            if each.get("automountServiceAccountToken") is not False
        ]

        assert mounted == []
