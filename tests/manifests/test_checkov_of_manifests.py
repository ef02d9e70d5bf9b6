"""checkov has nothing to say of an overlay, beside what k8s/checkov.yaml gives a reason for."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.manifests.rendering import K8S, OVERLAYS, find, rendered
from tests.running_site import ROOT

if TYPE_CHECKING:
    from tests.manifests.rendering import Manifest

pytestmark = pytest.mark.deployment

CHECKOV = ROOT / ".venv-deployment/bin/checkov"
CONFIG = K8S / "checkov.yaml"
SKIPPED = set(yaml.safe_load(CONFIG.read_text())["skip-check"])


def privileged_worker() -> Manifest:
    broken = copy.deepcopy(find(rendered("prod"), "Deployment", "upscale-worker"))
    broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    return broken


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the checks that fail for each overlay and for a broken worker: all of them in one run, none skipped."""
    folder = tmp_path_factory.mktemp("checkov")
    for name in OVERLAYS:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(rendered(name)))
    (folder / "broken.yaml").write_text(yaml.safe_dump(privileged_worker()))
    command = [CHECKOV, "--skip-download", "--framework", "kubernetes", "--output", "json", "--directory", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 1000, done.stderr
    found: dict[str, set[str]] = {name: set() for name in (*OVERLAYS, "broken")}
    for each in report["results"]["failed_checks"]:
        found[each["file_path"].strip("/").removesuffix(".yaml")].add(each["check_id"])
    return found


class TestAnOverlay:
    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_passes_all_that_is_not_skipped(self, failed: dict[str, set[str]], overlay: str) -> None:
        assert failed[overlay] - SKIPPED == set()

    def test_would_not_pass_with_a_privileged_container(self, failed: dict[str, set[str]]) -> None:
        assert "CKV_K8S_16" in failed["broken"]


class TestASkippedCheck:
    def test_would_fail_if_it_were_asked(self, failed: dict[str, set[str]]) -> None:
        assert failed["prod"] >= SKIPPED

    def test_has_its_reason_above_it(self) -> None:
        lines = [line.strip() for line in CONFIG.read_text().partition("skip-check:")[2].splitlines()]
        above = dict(zip(lines[1:], lines, strict=False))

        assert {above[f"- {check}"][:2] for check in SKIPPED} == {"# "}
