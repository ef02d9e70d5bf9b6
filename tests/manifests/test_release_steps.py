"""The steps of a release (.ci/cloud), with programs that only take notes in the place of the cloud's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.manifests.cloud_commands import REGISTRY, STEPS, TAG, CloudCommands
from tests.running_site import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.deployment

# What gcloud prints of revision and percent; the second has only a tag.
WEB, WEBHOOKS = "web-00007=100\nweb-00008=\n", "h-2=10\nh-3=90\n"
SMOKE = f"docker run --rm --env=SMOKE_API_KEY {REGISTRY}/api:{TAG} python -m imagen_site.smoke https://dev.imagen.example.com"
CANDIDATE = f"{SMOKE} --header X-Imagen-Revision=candidate"
# Whatever could change what runs.
CHANGES = ("gcloud run services update", "gcloud run jobs", "kubectl apply", "kubectl rollout undo", "kubectl delete")


@pytest.fixture
def cloud(tmp_path: Path) -> CloudCommands:
    """A project in which a version runs, and a candidate without traffic."""
    return CloudCommands(
        tmp_path,
        {
            "gcloud run services describe webhooks": (0, WEBHOOKS),
            "gcloud run services describe web": (0, WEB),
            "kubectl get deployments --namespace=imagen --output=jsonpath": (0, "upscale-worker 4\ncomic-worker 2\n"),
            # The real one's answer takes a while; TestTheOverlay has it.
            "kubectl kustomize": (0, f"image: {REGISTRY}/worker:{TAG}\nimage: {REGISTRY}/triton:{TAG}\n"),
            "kubectl get deployments": (0, "deployment.apps/upscale-worker\ndeployment.apps/comic-worker\n"),
        },
    )


def release(cloud: CloudCommands) -> list[tuple[str, int]]:
    """Run what cloudbuild.yaml runs after the images are pushed, as Cloud Build does: up to the first that fails."""
    steps = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())["steps"]
    names = [step["id"] for step in steps]
    done = []
    for step in steps[names.index("migrate") :]:
        status = cloud.step(*step["args"]).returncode
        done.append((step["id"], status))
        if status:
            break
    return done


class TestARelease:
    def test_gives_traffic_only_to_what_has_passed_the_smoke_test(self, cloud: CloudCommands) -> None:
        assert [status for _, status in release(cloud)] == [0] * 7

        order = [
            "gcloud run jobs execute migrate --wait",
            f"gcloud run services update web --no-traffic --tag=candidate --container=site --image={REGISTRY}/api:{TAG}",
            "kubectl delete job models-fetch --namespace=imagen --ignore-not-found",
            f"kubectl apply --kustomize={cloud.workspace}/overlay",
            "kubectl rollout status deployment.apps/comic-worker --namespace=imagen --timeout=45m",
            CANDIDATE,
            "gcloud run services update-traffic web --to-tags=candidate=100",
            SMOKE,
        ]
        assert [call for call in cloud.calls if call in order] == order
        assert cloud.called("kubectl rollout undo") == []

    def test_says_of_a_container_only_what_a_container_has(self, cloud: CloudCommands) -> None:
        # gcloud takes what follows --container for that container's, and refuses a flag that no container has.
        release(cloud)

        of_containers = [call.partition(" --container=site ")[2] for call in cloud.calls if "--container" in call]
        assert of_containers == [f"--image={REGISTRY}/api:{TAG}"] * 2

    def test_deploys_nothing_when_a_migration_fails(self, cloud: CloudCommands) -> None:
        cloud.answers["gcloud run jobs execute migrate"] = (1, "")

        assert release(cloud) == [("migrate", 1)]
        assert [call for call in cloud.calls if call.startswith(CHANGES)] == [
            f"gcloud run jobs update migrate --image={REGISTRY}/api:{TAG}",
            "gcloud run jobs execute migrate --wait",
        ]

    @pytest.mark.parametrize(
        ("broken", "at"),
        [
            ("kubectl apply", "apply-overlay"),
            ("kubectl wait", "apply-overlay"),
            ("kubectl rollout status deployment.apps/comic", "apply-overlay"),
            (CANDIDATE, "smoke-candidate"),
            ("gcloud secrets versions access", "smoke-candidate"),
            ("gcloud run services update-traffic web --to-tags", "move-traffic"),
        ],
    )
    def test_puts_back_what_ran_before_when_a_step_fails(self, cloud: CloudCommands, broken: str, at: str) -> None:
        cloud.answers = {broken: (1, ""), **cloud.answers}

        assert release(cloud)[-1] == (at, 1)

        assert cloud.calls[-5:] == [
            "gcloud run services update-traffic web --to-revisions=web-00007=100",
            "gcloud run services update-traffic webhooks --to-revisions=h-2=10,h-3=90",
            "gcloud container clusters get-credentials imagen --location=europe-west4 --dns-endpoint",
            "kubectl rollout undo deployment/upscale-worker --namespace=imagen --to-revision=4",
            "kubectl rollout undo deployment/comic-worker --namespace=imagen --to-revision=2",
        ]

    def test_goes_back_when_what_everybody_sees_fails_its_smoke_test(self, cloud: CloudCommands) -> None:
        # The candidate's line begins in the same way, and is answered first.
        cloud.answers = {CANDIDATE: (0, ""), SMOKE: (1, ""), **cloud.answers}

        assert release(cloud)[-1] == ("smoke-live", 1)

        assert cloud.called("gcloud run services update-traffic web ") == [
            "--to-tags=candidate=100",
            "--to-revisions=web-00007=100",
        ]

    def test_sends_no_photo_before_there_is_an_account_for_it(self, cloud: CloudCommands) -> None:
        assert cloud.step("-c", "SMOKE=health .ci/cloud/smoke live").returncode == 0
        assert cloud.calls == [f"{SMOKE} --health-alone"]

    def test_moves_no_traffic_when_the_candidate_fails(self, cloud: CloudCommands) -> None:
        cloud.answers[SMOKE] = (1, "")

        release(cloud)

        assert not any("candidate=100" in call for call in cloud.calls)


class TestRollingBack:
    def test_does_the_rest_when_a_part_of_it_fails(self, cloud: CloudCommands) -> None:
        cloud.step(".ci/cloud/remember")
        cloud.answers["gcloud run services update-traffic web "] = (1, "")

        done = cloud.step(".ci/cloud/roll_back")

        assert done.returncode == 1
        assert "Could not be rolled back: web." in done.stderr
        assert len(cloud.called("kubectl rollout undo")) == 2

    def test_leaves_a_first_release_as_it_is(self, cloud: CloudCommands) -> None:
        done = cloud.step(".ci/cloud/roll_back")

        assert done.returncode == 0
        assert "had no traffic before" in done.stderr
        assert [call for call in cloud.calls if call.startswith(CHANGES)] == []

    def test_begins_when_a_step_takes_too_long(self, cloud: CloudCommands) -> None:
        cloud.step(".ci/cloud/remember")

        done = cloud.step(".ci/cloud/or_roll_back", "0.1", "sleep", "60")

        assert done.returncode == 124
        assert "Rolled back." in done.stdout


class TestTheOverlay:
    @pytest.fixture(autouse=True)
    def _is_really_rendered(self, cloud: CloudCommands) -> None:
        del cloud.answers["kubectl kustomize"]

    @pytest.mark.parametrize("environment", ["dev", "prod"])
    def test_gets_the_images_of_this_commit(self, cloud: CloudCommands, environment: str) -> None:
        # The environment's own project, as its trigger says it.
        project = f"imagen-{environment}"
        done = cloud.step(
            "-c", f"REGISTRY=${{REGISTRY/imagen-dev/{project}}} .ci/cloud/apply_overlay", environment=environment
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_leaves_a_triton_alone_whose_files_have_not_changed(self, cloud: CloudCommands) -> None:
        (cloud.workspace / "triton.files").write_text("files-0123456789abcdef\n")

        done = cloud.step(".ci/cloud/apply_overlay")

        assert (done.returncode, done.stderr) == (0, "")
        written = yaml.safe_load((cloud.workspace / "overlay/kustomization.yaml").read_text())
        assert written["images"] == [
            {"name": f"{REGISTRY}/worker", "newTag": TAG},
            {"name": f"{REGISTRY}/triton", "newTag": "files-0123456789abcdef"},
        ]

    def test_of_another_project_is_not_applied(self, cloud: CloudCommands) -> None:
        done = cloud.step(".ci/cloud/apply_overlay", environment="prod")

        assert done.returncode == 1
        assert f"k8s/overlays/prod takes no image {REGISTRY}/worker" in done.stderr
        assert cloud.called("kubectl apply") == []


class TestAnImage:
    def test_is_built_from_the_newest_ones_layers(self, cloud: CloudCommands) -> None:
        cloud.answers["gcloud artifacts docker images describe"] = (1, "")
        cloud.answers["gcloud artifacts docker images list "] = (0, "sha256:77\n")

        cloud.step(".ci/cloud/look_up", "api")
        cloud.step(".ci/cloud/build", "api", "docker/Dockerfile", "api")
        cloud.step(".ci/cloud/push", "api")

        (options,) = cloud.called("docker build")
        assert f"--tag={REGISTRY}/api:{TAG}" in options
        assert "--target=api" in options
        assert f"--cache-from={REGISTRY}/api@sha256:77" in options
        assert cloud.called("docker push") == [f"{REGISTRY}/api:{TAG}"]

    def test_of_a_commit_is_made_once(self, cloud: CloudCommands) -> None:
        cloud.step(".ci/cloud/look_up", "api")
        cloud.step(".ci/cloud/build", "api", "docker/Dockerfile", "api")
        cloud.step(".ci/cloud/push", "api")

        assert cloud.called("docker") == []

    def test_of_the_same_files_serves_another_commit(self, cloud: CloudCommands) -> None:
        cloud.answers[f"gcloud artifacts docker images describe {REGISTRY}/triton:{TAG}"] = (1, "")

        cloud.step(".ci/cloud/look_up", "triton", "triton_models/Dockerfile")
        cloud.step(".ci/cloud/build", "triton", "triton_models/Dockerfile")
        cloud.step(".ci/cloud/scan", "triton")
        cloud.step(".ci/cloud/push", "triton")

        of_files = (cloud.workspace / "triton.files").read_text().strip()
        assert cloud.called("docker") == []
        assert f"--remote {REGISTRY}/triton:{of_files}" in cloud.called("gcloud artifacts docker images scan")[0]
        assert cloud.called("gcloud artifacts docker tags add") == [
            f"{REGISTRY}/triton:{of_files} {REGISTRY}/triton:{TAG}"
        ]

    def test_gets_the_tag_of_its_files_where_a_build_was_stopped_before_that(self, cloud: CloudCommands) -> None:
        cloud.step(".ci/cloud/look_up", "triton", "triton_models/Dockerfile")
        of_files = (cloud.workspace / "triton.files").read_text().strip()
        cloud.answers[f"gcloud artifacts docker images describe {REGISTRY}/triton:{of_files}"] = (1, "")

        cloud.step(".ci/cloud/push", "triton")

        assert cloud.called("docker") == []
        assert cloud.called("gcloud artifacts docker tags add") == [
            f"{REGISTRY}/triton:{TAG} {REGISTRY}/triton:{of_files}"
        ]


class TestAScan:
    def test_lets_an_image_pass_that_has_nothing_critical(self, cloud: CloudCommands) -> None:
        assert cloud.step(".ci/cloud/scan", "api").returncode == 0

    def test_refuses_what_nobody_has_accepted(self, cloud: CloudCommands) -> None:
        cloud.answers["gcloud artifacts docker images list-vulnerabilities"] = (0, "CVE-2026-2\nCVE-2026-1\n")

        done = cloud.step(".ci/cloud/scan", "api")

        assert done.returncode == 1
        assert "api has critical vulnerabilities: CVE-2026-1 CVE-2026-2" in done.stderr

    @pytest.mark.parametrize(("until", "status"), [("2999-12-31", 0), ("2020-01-01", 1)])
    def test_accepts_until_a_day(self, cloud: CloudCommands, tmp_path: Path, until: str, status: int) -> None:
        cloud.answers["gcloud artifacts docker images list-vulnerabilities"] = (0, "CVE-2026-1\n")
        (tmp_path / "scan").write_text((STEPS / "scan").read_text())
        (tmp_path / "accepted_vulnerabilities").write_text(f"# why\nCVE-2026-1  {until}  It is not called.\n")

        assert cloud.step(str(tmp_path / "scan"), "api").returncode == status
