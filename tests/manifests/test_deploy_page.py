"""docs/deploy.md: what it tells one to type has to be there, and the commands that were asked for have to be on it."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.manifests.rendering import rendered
from tests.running_site import ROOT

pytestmark = pytest.mark.deployment

PAGE = (ROOT / "docs/deploy.md").read_text()
MODULE = ROOT / "terraform/modules/imagen"
COMPOSITION = "\n".join(file.read_text() for file in sorted(MODULE.glob("*.tf")))
QUICK_REFERENCE = (
    "kubectl apply -k k8s/overlays/dev",
    "kubectl apply -k k8s/overlays/prod",
    "kubectl get pods -n imagen -l app=triton",
    "kubectl logs -f deployment/triton-inference-server -n imagen",
    "kubectl get pods -n imagen -l app.kubernetes.io/component=worker",
    "kubectl get hpa -n imagen",
    "kubectl port-forward -n imagen svc/triton 8000:8000 8001:8001 8002:8002",
    "curl localhost:8000/v2/health/ready",
    "curl localhost:8000/v2/models/upscale",
    "curl localhost:8002/metrics",
)


def found(pattern: str) -> list[str]:
    """Return what the page says there; nothing at all would be a pattern that no longer fits."""
    matches: list[str] = re.findall(pattern, PAGE)
    assert matches, pattern
    return sorted(set(matches))


class TestThePage:
    @pytest.mark.parametrize("line", QUICK_REFERENCE)
    def test_has_the_commands_that_everybody_looks_for(self, line: str) -> None:
        assert f"\n{line}\n" in PAGE

    def test_links_to_what_is_there(self) -> None:
        missing = [link for link in found(r"\]\(([^)#:]+)\)") if not (ROOT / "docs" / link).exists()]

        assert missing == []

    def test_numbers_its_steps_without_a_gap(self) -> None:
        steps = [int(number) for number in re.findall(r"^\*\*(\d+)\.", PAGE, re.MULTILINE)]

        assert steps == list(range(1, 16))


class TestWhatIsTyped:
    def test_names_modules_that_there_are(self) -> None:
        targets = found(r"-target=module\.imagen\.module\.(\w+)")

        assert [name for name in targets if f'module "{name}"' not in COMPOSITION] == []

    def test_builds_for_the_processors_of_the_cloud_whatever_ones_own_are(self) -> None:
        assert [line for line in found(r"docker build .*") if "--platform=linux/amd64" not in line] == []

    def test_gives_traffic_to_the_revisions_that_it_makes(self) -> None:
        # A release gives all of it to one revision by its name, and so none to a later one.
        assert len(re.findall(r"services update-traffic .* --to-latest", PAGE)) == len(found(r"--update-labels=.*"))

    def test_releases_the_commit_that_says_what_is_yours(self) -> None:
        assert PAGE.index("export TAG=") > PAGE.index("project.yaml")

    def test_names_outputs_that_there_are(self) -> None:
        outputs = (MODULE / "outputs.tf").read_text()

        assert [
            name for name in found(r"`(\w+)` of `terraform [^`]*output`") if f'output "{name}"' not in outputs
        ] == []

    def test_names_secrets_that_there_are(self) -> None:
        named = found(r"gcloud secrets versions add ([a-z]+-[a-z-]+)")

        assert [name for name in named if not re.search(rf"^ +{name} += ", COMPOSITION, re.MULTILINE)] == []

    def test_tells_cloud_build_what_it_asks_for(self) -> None:
        asked = set(yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())["substitutions"])

        assert set(found(r"[,=](_[A-Z_]+)=")) <= asked

    def test_names_deployments_and_jobs_that_there_are(self) -> None:
        there = {(each["kind"].lower(), each["metadata"]["name"]) for each in rendered("prod")}
        named = re.findall(r"\b(deployment|job)[ /]([a-z-]+) (?:-n imagen|--ignore)", PAGE)

        assert named
        assert [each for each in named if each not in there] == []

    def test_has_files_and_folders_that_there_are(self) -> None:
        paths = [path.replace("$ENVIRONMENT", "prod") for path in found(r"`?((?:terraform|k8s|docker)/[\w$./-]+\w)")]

        ours = {path for path in paths if path != "terraform/envs/prod/terraform.tfvars"}
        assert [path for path in sorted(ours) if not (ROOT / path).exists()] == []
