"""The image `worker` at work: one real job, from the API's container through Triton to its settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.images.containers import running
from tests.photos import photo
from tests.running_site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.build import Images
    from tests.images.contained_site import ContainedSite
    from tests.images.containers import Container

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(600)]

# What a worker has to hand back its jobs; Spot gives a pod 15 seconds.
DRAIN_SECONDS = 12
WORKER = {"GOOGLE_CLOUD_PROJECT": "imagen-dev", "GCS_BUCKET": "imagen-dev-imagen", "TRITON_URL": "triton:8001"}
QUEUE = "background-remove-jobs"


@pytest.fixture(scope="module")
def site(contained_site: ContainedSite) -> Iterator[ContainedSite]:
    """The site with web and webhooks in their containers, and no worker yet."""
    containers = [contained_site.api(), contained_site.webhooks()]
    yield contained_site
    for container in containers:
        container.remove()


@pytest.fixture
def worker(site: ContainedSite) -> Iterator[Container]:
    container = site.worker(QUEUE)
    yield container
    container.remove()


class TestAWorker:
    def test_completes_a_job_that_is_settled_by_push(self, site: ContainedSite, worker: Container) -> None:
        job_id = str(site.submit("background/remove", photo())["job_id"])

        job = site.wait_for(job_id)

        assert job["status"] == "completed", worker.output[-3000:]
        assert job["engine"]["name"]
        wait_until(lambda: not site.accounts([job_id]).unsettled, seconds=60, what="the settlement of the job")
        assert site.accounts([job_id]).ledger(job_id) == ["hold", "capture"]

    def test_takes_only_the_jobs_of_its_queue(self, site: ContainedSite, worker: Container) -> None:
        other = str(site.submit("style/aged", photo())["job_id"])
        mine = str(site.submit("background/remove", photo())["job_id"])

        site.wait_for(mine)

        assert site.job(other)["status"] == "queued"

    def test_is_well_by_the_images_own_health_check(self, worker: Container, images: Images) -> None:
        check = images.buildah.describe(images.worker)["config"]["Healthcheck"]["Test"]

        assert check[0] == "CMD"
        assert worker.execute(*check[1:]).returncode == 0

    def test_ends_within_the_time_that_a_spot_machine_leaves_it(self, worker: Container) -> None:
        worker.stop(seconds=DRAIN_SECONDS)

        assert worker.wait() == 0, worker.output[-3000:]

    def test_hands_back_what_it_is_at_when_it_is_stopped(self, site: ContainedSite, worker: Container) -> None:
        job_id = str(site.submit("background/remove", photo(side=3000))["job_id"])
        site.wait_for(job_id, "processing", "completed")

        worker.stop(seconds=DRAIN_SECONDS)

        assert site.job(job_id)["status"] in {"queued", "completed"}


class TestAStart:
    def test_without_any_setting_names_every_one(self, images: Images, tmp_path: Path) -> None:
        with running(images.buildah, images.worker, tmp_path, {}) as container:
            assert container.wait() == 1

            for name in WORKER:
                assert f"{name} is not set" in container.output
            assert "Traceback" not in container.output

    def test_asks_for_no_database_and_no_key(self, images: Images, tmp_path: Path) -> None:
        with running(images.buildah, images.worker, tmp_path, {}) as container:
            container.wait()

            assert "DATABASE_URL" not in container.output
            assert "SECRET_KEY" not in container.output

    @pytest.mark.parametrize(
        ("name", "value"),
        [("TRITON_URL", "triton"), ("WORKER_QUEUE", "upscale"), ("WORKER_JOBS", "0"), ("DRAIN_SECONDS", "soon")],
    )
    def test_with_a_wrong_setting_names_it(self, images: Images, tmp_path: Path, name: str, value: str) -> None:
        with running(images.buildah, images.worker, tmp_path, {**WORKER, name: value}) as container:
            assert container.wait() == 1

            assert f"{name}: " in container.output
