"""The running site over the real model server, once for the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running_site import RunningSite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from triton_models.local_triton import LocalTriton

# Short, so that a test need not wait a minute for what takes a minute in earnest.
QUICK = {"JOB_LEASE_SECONDS": "6", "JOB_RENEW_SECONDS": "1.5", "SWEEP_SECONDS": "0.5", "DRAIN_SECONDS": "6"}


@pytest.fixture(scope="session")
def running_site(triton_server: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    var_dir = tmp_path_factory.mktemp("site") / "var"
    with RunningSite(var_dir=var_dir, triton_url=triton_server.grpc_url, settings=QUICK) as site:
        yield site


@pytest.fixture
def site(running_site: RunningSite, triton: LocalTriton) -> RunningSite:
    """The site with every process up; a test may kill a worker, the next one finds it running again."""
    for name, start in (("worker", running_site.start_worker), ("sweep", running_site.start_sweep)):
        if not running_site.runs(name):
            start()
    return running_site
