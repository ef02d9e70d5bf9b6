"""
Files made to hurt, sent to the running site: whoever sends one hears what is wrong with it, and nobody else notices.

A default run takes every tenth file and a few cuts; `-m long` takes all of them, for every operation in turn.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs.operations import OPERATIONS
from tests.flows.test_recovery import balance_is_proven
from tests.hostile import CORPUS
from tests.hostile.builders import FORMATS, encoded
from tests.hostile.disguises import PHP, SCRIPT
from tests.running_site import multipart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.hostile.builders import File
    from tests.running_site import RunningSite
    from triton_models.local_triton import LocalTriton

pytestmark = [pytest.mark.triton, pytest.mark.processes, pytest.mark.xdist_group("triton"), pytest.mark.timeout(900)]

MEGABYTE = 2**20
# The most resident memory of each process while the corpus passes through it: the worker holds several files of 30 MB
# and their messages at once, a model the pixels of one or two pictures of 50 megapixels.
BOUNDS = {"web": 450 * MEGABYTE, "worker": 800 * MEGABYTE, "model": 1_500 * MEGABYTE}
# What a caller may do something about; "internal" is ours.
CALLERS_CODES = {"unreadable_image", "image_too_large", "image_too_small", "invalid_parameter", "quality_gate"}
# Taken, no request that makes sense, too large, no image that we read, or a side too short or long.
EXPECTED = {202, 400, 413, 415, 422}
SAMPLE = dict(itertools.islice(CORPUS.items(), 0, None, 10))
REST = {name: file for name, file in CORPUS.items() if name not in SAMPLE}


def cuts(every: int) -> dict[str, File]:
    """Return a photo of each format, cut off at every so manieth byte."""
    whole = {kind: encoded(kind) for kind in FORMATS}
    return {
        f"{kind.lower()} cut at {end}": lambda kind=kind, end=end: whole[kind][:end]
        for kind in FORMATS
        for end in range(every, len(whole[kind]), every)
    }


@dataclass(frozen=True)
class Answer:
    name: str
    status: int
    body: Mapping[str, Any]

    @property
    def job_id(self) -> str:
        return str(self.body["job_id"]) if self.status == 202 else ""


class TestAHostileFile:
    def test_hurts_only_who_sent_it(self, site: RunningSite, triton: LocalTriton) -> None:
        assert_harmless(site, triton, SAMPLE | cuts(every=11_000))

    @pytest.mark.long
    def test_hurts_nobody_whichever_it_is(self, site: RunningSite, triton: LocalTriton) -> None:
        assert_harmless(site, triton, REST | cuts(every=1_024))


def assert_harmless(site: RunningSite, triton: LocalTriton, files: Mapping[str, File]) -> None:
    before = processes(site, triton)
    for pid in itertools.chain(*before.values()):
        # From here on its peak is counted anew (proc(5), clear_refs).
        Path(f"/proc/{pid}/clear_refs").write_text("5")

    answers = list(submit_all(site, files))
    ended = {answer.name: site.wait_for(answer.job_id, seconds=600) for answer in answers if answer.job_id}
    failed = [str(job["job_id"]) for job in ended.values() if job["status"] != "completed"]

    assert {answer.name: answer.body for answer in answers if answer.status not in EXPECTED} == {}
    assert {answer.name for answer in answers if not answer.job_id and not answer.body.get("code")} == set()
    assert {name: job["error"] for name, job in ended.items() if not ended_well(site, name, job)} == {}
    assert uncharged(site, failed) == set(failed)
    assert balance_is_proven(site)
    assert processes(site, triton) == before
    peaks = {name: max(peak(pid) for pid in pids) for name, pids in before.items()}
    print({name: f"{size / MEGABYTE:.0f} MB" for name, size in peaks.items()}, len(answers), len(ended))  # noqa: T201
    assert {name: size for name, size in peaks.items() if size > BOUNDS[name]} == {}


def submit_all(site: RunningSite, files: Mapping[str, File]) -> Iterator[Answer]:
    for (name, file), operation in zip(files.items(), itertools.cycle(OPERATIONS.values()), strict=False):
        body, content_type = multipart(file(), "photo.jpg", {"scale": "2"} if operation.name == "upscale" else {})
        yield Answer(name, *site.call("POST", f"/api/v1/images/{operation.path}", body, Content_Type=content_type))


def ended_well(site: RunningSite, name: str, job: Mapping[str, Any]) -> bool:
    """Tell whether a job completed, with a clean result, or failed for a reason that is the file's."""
    if job["status"] == "completed":
        result = site.download(job["output"]["url"])
        return SCRIPT not in result and PHP not in result
    # What is broken beside the picture is no reason to lose it.
    return job["status"] == "failed" and job["error"]["code"] in CALLERS_CODES and not name.startswith("exif")


def uncharged(site: RunningSite, job_ids: list[str]) -> set[str]:
    """Return those of the jobs whose credits were held and then released, and nothing else."""
    code = """
import sys
from billing.models import LedgerEntry
for job_id in sys.argv[1:]:
    kinds = list(LedgerEntry.objects.filter(reference=job_id).order_by("id").values_list("kind", flat=True))
    if kinds == ["hold", "release"]:
        print(job_id)
"""
    return set(site.python(code, *job_ids).split())


def processes(site: RunningSite, triton: LocalTriton) -> dict[str, list[int]]:
    """Return the processes that touch pictures: the site's, and the model server's with its models."""
    return {
        "web": [site.process("web").pid],
        "worker": [site.process("worker").pid],
        "model": [triton.pid, *sorted(triton.children())],
    }


def peak(pid: int) -> int:
    """Return the most memory that a process had resident, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
