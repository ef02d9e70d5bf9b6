"""A part of the cloud is away while jobs run: what people are told, and that everything ends as if nothing had been."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cloud_site import PARTS
from tests.outages import REFUSALS, SILENCES, Outage, signed_in
from tests.photos import photo
from tests.running_site import multipart, wait_until

if TYPE_CHECKING:
    import httpx

    from tests.cloud_fixtures import Cloud
    from tests.cloud_site import CloudSite

pytestmark = [
    pytest.mark.triton,
    pytest.mark.processes,
    pytest.mark.emulator,
    pytest.mark.postgres,
    pytest.mark.xdist_group("cloud"),
    pytest.mark.timeout(300),
]


def by_name(outage: Outage) -> str:
    return outage.name


def send(site: CloudSite, path: str, side: int) -> tuple[int, Any]:
    body, content_type = multipart(photo(side), "photo.jpg", {})
    return site.call("POST", f"/api/v1/images/{path}", body, Content_Type=content_type)


def check_answers(site: CloudSite, pages: httpx.Client, outage: Outage, running: str) -> list[str]:
    """Ask for everything while a part is away; return the jobs that were accepted all the same."""
    status, accepted = send(site, "style/comic", 64)
    assert (status, accepted.get("code")) == (outage.submit, "service_unavailable" if outage.submit == 503 else None)
    status, job = site.call("GET", f"/api/v1/jobs/{running}")
    assert status == outage.read, job
    page = pages.get("/jobs/")
    assert page.status_code == outage.page
    for told, sentence in ((outage.read, job.get("detail", "")), (outage.page, page.text)):
        assert told == 200 or ". " in sentence or sentence.endswith(".")
    assert page.status_code == 200 or page.headers["Retry-After"]
    assert site.answers("web")
    assert site.answers("webhooks")
    return [str(accepted["job_id"])] if status == 202 else []


def survive(cloud: Cloud, outage: Outage, *, seconds: float) -> None:
    site = cloud.site
    processes = {name: site.process(name).pid for name in PARTS}
    with signed_in(site) as pages:
        job_ids = [str(send(site, path, 256)[1]["job_id"]) for path in ("upscale", "enhance", "style/aged")]
        wait_until(lambda: site.job(job_ids[0])["status"] != "queued", seconds=30, what="the beginning of the work")

        began = time.monotonic()
        outage.begin(cloud)
        try:
            job_ids += check_answers(site, pages, outage, job_ids[0])
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        finally:
            outage.end(cloud)

    ended = {job_id: site.wait_for(job_id, seconds=120)["status"] for job_id in job_ids}
    wait_until(lambda: not site.accounts(job_ids).unsettled, seconds=40, what="the settling of all jobs")
    known = site.accounts(job_ids)
    assert ended == dict.fromkeys(job_ids, "completed")
    assert {job_id: known.ledger(job_id) for job_id in job_ids} == {key: ["hold", "capture"] for key in job_ids}
    assert known.agrees
    assert {name: site.process(name).pid for name in PARTS if site.runs(name)} == processes


class TestAPartThatIsAway:
    @pytest.mark.parametrize("outage", REFUSALS, ids=by_name)
    def test_for_six_seconds_costs_a_wait_and_nothing_else(self, cloud: Cloud, outage: Outage) -> None:
        survive(cloud, outage, seconds=6)

    @pytest.mark.long
    @pytest.mark.parametrize("outage", [*REFUSALS, *SILENCES], ids=by_name)
    def test_for_twenty_seconds_costs_a_wait_and_nothing_else(self, cloud: Cloud, outage: Outage) -> None:
        survive(cloud, outage, seconds=20)
