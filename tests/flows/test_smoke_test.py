"""The smoke test of a release, on the site as `make run` starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobs.operations import OPERATIONS
from tests.running_site import ROOT

if TYPE_CHECKING:
    from tests.running_site import RunningSite

pytestmark = [pytest.mark.triton, pytest.mark.processes, pytest.mark.xdist_group("recovery"), pytest.mark.timeout(240)]


def smoke_test(site: RunningSite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it as a release does: with a key, and with no setting of the site."""
    return subprocess.run(
        [sys.executable, "-m", "imagen_site.smoke", site.url, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SMOKE_API_KEY": site.api_key},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


class TestTheSmokeTest:
    def test_passes_on_a_site_that_works(self, site: RunningSite) -> None:
        done = smoke_test(site)

        assert (done.returncode, done.stderr) == (0, "")
        assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [*OPERATIONS, "charged once"]

    def test_fails_on_a_site_whose_workers_are_gone(self, site: RunningSite) -> None:
        site.stop_process("worker")

        done = smoke_test(site, "--operations", "style_comic", "--patience", "2")

        assert done.returncode == 1
        assert "is still queued, stage queued" in done.stderr
