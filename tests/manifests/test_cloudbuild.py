"""cloudbuild.yaml against its schema, and every name in it against what has the name."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.running_site import ROOT

pytestmark = pytest.mark.deployment

CLOUDBUILD = ROOT / "cloudbuild.yaml"
# What Cloud Build itself fills in.
BUILT_IN = {"PROJECT_ID", "COMMIT_SHA"}


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CLOUDBUILD.read_text())
    return loaded


@pytest.fixture
def steps(build: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["id"]: step for step in build["steps"]}


def scripts(step: dict[str, Any]) -> list[str]:
    return [argument for argument in step["args"] if argument.startswith(".ci/")]


def before(steps: dict[str, dict[str, Any]], name: str) -> set[str]:
    """Return every step that is over when this one begins."""
    direct = set(steps[name]["waitFor"]) - {"-"}
    return direct.union(*(before(steps, each) for each in direct))


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


class TestCloudBuild:
    def test_is_of_its_schema(self) -> None:
        program = ROOT / ".venv-deployment/bin/check-jsonschema"

        done = subprocess.run(
            [program, "--builtin-schema", "vendor.cloudbuild", CLOUDBUILD],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert done.returncode == 0, done.stdout

    def test_runs_scripts_that_there_are(self, steps: dict[str, dict[str, Any]]) -> None:
        called = {script for step in steps.values() for script in scripts(step)}
        there = {
            f".ci/cloud/{path.name}" for path in (ROOT / ".ci/cloud").iterdir() if path.read_bytes().startswith(b"#!")
        }

        # roll_back is called by or_roll_back.
        assert called == there - {".ci/cloud/roll_back"}

    def test_may_run_each_script(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--stage", ".ci/cloud"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        modes = {line.split("\t")[1]: line.split()[0] for line in listed}

        runnable = {name for name in modes if (ROOT / name).read_bytes().startswith(b"#!")}
        assert runnable
        assert runnable == {name for name, mode in modes.items() if mode == "100755"}

    def test_gives_every_script_the_variables_that_it_asks_for(self, build: dict[str, Any]) -> None:
        given = {variable.partition("=")[0] for variable in build["options"]["env"]}
        asked = {
            name
            for path in (ROOT / ".ci/cloud").iterdir()
            for name in re.findall(r'"\$\{(\w+):\?\}"', path.read_text())
        }

        assert asked <= given
        assert {name for name in given if not name.startswith("CLOUDSDK_")} == asked

    def test_tests_what_ci_tests_but_what_makes_containers(self) -> None:
        ci, here = (
            re.findall(r"^make \S+$", (ROOT / script).read_text(), re.MULTILINE)
            for script in (".ci/run", ".ci/cloud/test")
        )

        # A step has no right to namespaces and mounts, which buildah and crun want.
        assert here == [line for line in ci if line != "make images"]
        assert "exec .ci/run" not in (ROOT / ".ci/cloud/test").read_text()

    def test_uses_every_substitution_and_no_other(self, build: dict[str, Any]) -> None:
        used = set(re.findall(r"\$\{?(\w+)", re.sub(r"(?m)^\s*#.*$", "", CLOUDBUILD.read_text())))

        assert used - BUILT_IN == set(build["substitutions"])

    @pytest.mark.parametrize("name", ["build-api", "build-worker"])
    def test_builds_targets_that_there_are(self, steps: dict[str, dict[str, Any]], name: str) -> None:
        _script, image, dockerfile, target = steps[name]["args"]

        assert name == f"build-{image}"
        assert re.search(rf"(?im)^FROM \S+ AS {target}$", (ROOT / dockerfile).read_text())

    def test_knows_every_file_that_tritons_image_is_made_of(self, steps: dict[str, dict[str, Any]]) -> None:
        _script, _image, *known = steps["look-up-triton"]["args"]
        dockerfile = (ROOT / "triton_models/Dockerfile").read_text()
        copied = [
            source
            for line in re.findall(r"(?m)^(?:COPY|ADD) (?!--from)(.+)$", dockerfile)
            for source in line.split()[:-1]
        ]

        assert set(copied) == set(known)
        assert all((ROOT / path).exists() for path in known)

    def test_pushes_nothing_that_is_not_tested_and_scanned(self, steps: dict[str, dict[str, Any]]) -> None:
        for image in ("api", "worker", "triton"):
            assert {"test", "audit", f"scan-{image}"} <= before(steps, f"push-{image}")

    def test_migrates_when_all_images_are_pushed_and_then_goes_on_one_by_one(
        self, steps: dict[str, dict[str, Any]]
    ) -> None:
        names = list(steps)
        last = names[names.index("migrate") :]

        assert {"push-api", "push-worker", "push-triton"} <= before(steps, "migrate")
        assert [steps[name]["waitFor"] for name in last[1:]] == [[name] for name in last[:-1]]
        assert before(steps, last[-1]) == set(names[:-1])

    def test_rolls_back_after_whatever_people_could_notice(self, steps: dict[str, dict[str, Any]]) -> None:
        guarded = [name for name, step in steps.items() if ".ci/cloud/or_roll_back" in step["args"]]

        assert guarded == list(steps)[list(steps).index("apply-overlay") :]
        assert "remember" in before(steps, guarded[0])

    def test_leaves_a_guarded_step_time_to_roll_back(self, steps: dict[str, dict[str, Any]]) -> None:
        for step in steps.values():
            if ".ci/cloud/or_roll_back" in step["args"]:
                assert seconds(step["timeout"]) >= int(step["args"][1]) + 600

    def test_names_the_candidate_as_the_load_balancer_does(self) -> None:
        balancer = (ROOT / "terraform/modules/frontend/candidate.tf").read_text()
        (header,) = re.findall(r'candidate_header = "(.+)"', balancer)
        (tag,) = re.findall(r'candidate_tag    = "(.+)"', balancer)

        assert f"--header {header}={tag})" in (ROOT / ".ci/cloud/smoke").read_text()
        assert f"--tag={tag}" in (ROOT / ".ci/cloud/deploy_site").read_text()
        assert f"--to-tags={tag}=100" in (ROOT / ".ci/cloud/move_traffic").read_text()

    def test_has_a_time_limit_for_each_step_and_for_all(
        self, build: dict[str, Any], steps: dict[str, dict[str, Any]]
    ) -> None:
        one_by_one = [name for name in steps if "migrate" in {name, *before(steps, name)}]

        assert all("timeout" in step for step in steps.values())
        assert seconds(build["timeout"]) > sum(seconds(steps[name]["timeout"]) for name in one_by_one)
