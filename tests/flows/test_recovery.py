"""What people rely on when things go wrong: real processes, a real queue, a real Triton, real signals."""

from __future__ import annotations

import io
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from skimage import data

from tests.running_site import wait_until

if TYPE_CHECKING:
    from tests.running_site import RunningSite
    from triton_models.local_triton import LocalTriton

pytestmark = [pytest.mark.triton, pytest.mark.processes, pytest.mark.xdist_group("recovery"), pytest.mark.timeout(240)]


def photo(side: int = 96) -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((side, side)).save(file, "JPEG", quality=90)
    return file.getvalue()


# Some seconds of work: enough to be killed, cancelled or left alone in the middle of it.
SIDE = 480
LONG = photo(SIDE)


def begin_long_job(site: RunningSite) -> str:
    """Submit, and wait until the model is in the middle of it."""
    job_id = str(site.submit("upscale", LONG)["job_id"])
    wait_until(lambda: site.job(job_id)["progress"] > 5, seconds=60, what="the middle of the job")
    return job_id


def ledger_of(site: RunningSite, job_id: str) -> list[str]:
    code = """
import sys
from billing.models import LedgerEntry
print(*LedgerEntry.objects.filter(reference=sys.argv[-1]).order_by("id").values_list("kind", flat=True))
"""
    return site.python(code, job_id).split()


def balance_is_proven(site: RunningSite) -> bool:
    code = """
from accounts.models import Account
from billing.services import audit
print(audit(Account.objects.get()).agrees)
"""
    return site.python(code).strip() == "True"


def is_right(site: RunningSite, job: dict[str, Any], width: int) -> bool:
    result = Image.open(io.BytesIO(site.download(job["output"]["url"])))
    result.load()
    return result.size == (width, width)


class TestAWorkerThatIsKilled:
    def test_in_mid_job_loses_nothing_and_charges_once(self, site: RunningSite) -> None:
        job_id = begin_long_job(site)

        site.kill("worker")
        site.start_worker()
        job = site.wait_for(job_id)

        assert job["status"] == "completed"
        assert job["attempt"] == 2
        assert is_right(site, job, 4 * SIDE)
        assert ledger_of(site, job_id) == ["hold", "capture"]
        assert balance_is_proven(site)


class TestAWorkerThatStops:
    def test_hands_back_what_it_cannot_finish_within_twelve_seconds(self, site: RunningSite) -> None:
        jobs = [str(site.submit("upscale", each)["job_id"]) for each in (LONG, LONG, photo(), photo())]
        wait_until(lambda: site.job(jobs[0])["progress"] > 5, seconds=60, what="the middle of the first job")

        seconds = site.stop_process("worker")
        states = [site.job(job_id) for job_id in jobs]
        site.start_worker()

        assert seconds < 12
        assert {state["status"] for state in states} <= {"queued", "completed"}
        ended = [site.wait_for(job_id, seconds=150) for job_id in jobs]
        assert {(job["status"], job["attempt"]) for job in ended} == {("completed", 1)}


class TestAWorkerThatFallsAsleep:
    def test_is_replaced_and_changes_nothing_when_it_wakes(self, site: RunningSite) -> None:
        job_id = begin_long_job(site)
        asleep = site.process("worker")

        os.killpg(asleep.pid, signal.SIGSTOP)
        try:
            site.start_worker("second")
            job = site.wait_for(job_id)
        finally:
            os.killpg(asleep.pid, signal.SIGCONT)
        time.sleep(4)

        assert job["status"] == "completed"
        assert job["attempt"] == 2
        after = site.job(job_id)
        assert {name: after[name] for name in ("version", "attempt", "status")} == {
            name: job[name] for name in ("version", "attempt", "status")
        }
        assert is_right(site, after, 4 * SIDE)
        assert ledger_of(site, job_id) == ["hold", "capture"]
        site.stop_process("second")


class TestADeliveryThatComesTwice:
    def test_is_worked_on_once(self, site: RunningSite) -> None:
        job_id = str(site.submit("upscale", photo())["job_id"])
        again = """
import sys
from uuid import UUID
from jobs import adapters
for _ in range(5):
    adapters.job_queue().publish(job_id=UUID(sys.argv[-1]), operation="upscale")
"""
        site.python(again, job_id)
        job = site.wait_for(job_id)
        site.python(again, job_id)
        other = site.wait_for(str(site.submit("upscale", photo())["job_id"]))

        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert other["status"] == "completed"
        assert site.job(job_id)["version"] == job["version"]
        assert ledger_of(site, job_id) == ["hold", "capture"]


class TestCancel:
    def test_before_the_work_costs_nothing(self, site: RunningSite) -> None:
        site.stop_process("worker")
        job_id = str(site.submit("upscale", photo())["job_id"])

        status, job = site.call("POST", f"/api/v1/jobs/{job_id}/cancel")
        site.start_worker()

        assert (status, job["status"]) == (200, "cancelled")
        assert site.wait_for(str(site.submit("upscale", photo())["job_id"]))["status"] == "completed"
        assert site.job(job_id)["status"] == "cancelled"
        assert ledger_of(site, job_id) == ["hold", "release"]

    def test_during_the_work_frees_the_model_and_costs_nothing(self, site: RunningSite, triton: LocalTriton) -> None:
        job_id = begin_long_job(site)

        began = time.monotonic()
        status, job = site.call("POST", f"/api/v1/jobs/{job_id}/cancel")
        next_one = site.wait_for(str(site.submit("upscale", photo())["job_id"]))

        assert (status, job["status"]) == (200, "cancelled")
        assert next_one["status"] == "completed"
        assert time.monotonic() - began < 15
        assert site.job(job_id)["output"] is None
        assert ledger_of(site, job_id) == ["hold", "release"]

    def test_after_the_work_is_refused_and_the_charge_stands(self, site: RunningSite) -> None:
        job_id = str(site.submit("upscale", photo())["job_id"])
        site.wait_for(job_id)

        status, problem = site.call("POST", f"/api/v1/jobs/{job_id}/cancel")

        assert (status, problem["code"]) == (409, "illegal_move")
        assert site.job(job_id)["status"] == "completed"
        assert ledger_of(site, job_id) == ["hold", "capture"]


class TestTritonAway:
    def test_in_mid_job_costs_a_wait_and_nothing_else(self, site: RunningSite, triton: LocalTriton) -> None:
        job_id = begin_long_job(site)

        triton.kill()
        waiting = str(site.submit("background/remove", photo(256))["job_id"])
        time.sleep(6)
        seen = site.job(waiting)
        triton.start()
        jobs = [site.wait_for(each, seconds=120) for each in (job_id, waiting)]

        assert seen["status"] in {"queued", "processing"}
        assert [job["status"] for job in jobs] == ["completed", "completed"]
        assert jobs[1]["attempt"] == 1
        assert is_right(site, jobs[0], 4 * SIDE)
        assert ledger_of(site, job_id) == ["hold", "capture"]


class TestAPhotoThatTheModelRefuses:
    def test_fails_with_its_reason_and_the_next_one_runs(self, site: RunningSite) -> None:
        # Whole to look at, broken inside: nothing short of decoding can tell.
        sound = bytearray(photo(256))
        file = io.BytesIO()
        Image.fromarray(data.astronaut()).save(file, "PNG")
        broken = bytearray(file.getvalue())
        middle = len(broken) // 2
        broken[middle : middle + 64] = bytes(64)

        bad = site.wait_for(str(site.submit("upscale", bytes(broken), filename="broken.png")["job_id"]))
        good = site.wait_for(str(site.submit("background/remove", bytes(sound))["job_id"]))

        assert (bad["status"], bad["error"]["code"]) == ("failed", "unreadable_image")
        assert bad["error"]["message"].endswith(".")
        assert ledger_of(site, bad["job_id"]) == ["hold", "release"]
        assert good["status"] == "completed"
