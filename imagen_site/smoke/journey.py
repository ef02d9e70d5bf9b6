"""What a smoke test does: send a photo for each operation, wait, look at the results, and count the credits."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from PIL import Image, UnidentifiedImageError

from imagen_site.smoke.site import Credits, Site, SmokeFailure
from jobs.operations import OPERATIONS
from jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobs.operations import Operation

_ENDED = {status.value for status in JobStatus if status.terminal}
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Journey:
    """
    Photos through a site and back. Raises SmokeFailure with the first thing that is wrong.

    patience: seconds that all jobs together may take. Workers may have to start first, and in the cloud minutes go by
    until the queue's length is seen. settling: seconds until ended jobs are charged; the sweep does it within a minute
    where a push was lost.
    """

    site: Site
    photo: bytes
    patience: float
    settling: float = 120
    say: Callable[[str], None] = print

    def check_health(self) -> None:
        for path in ("/livez", "/readyz"):
            self.site.check_health(path)

    def make(self, operations: Iterable[str]) -> None:
        self.check_health()
        before = self.site.credits()
        accepted = {name: self._submitted(OPERATIONS[name]) for name in operations}
        end = time.monotonic() + self.patience
        for name, job in accepted.items():
            self._look_at(OPERATIONS[name], self._ended(job["job_id"], end))
        self._see_charged(before, sum(job["credits"] for job in accepted.values()))

    def _submitted(self, operation: Operation) -> dict[str, Any]:
        """Submit the photo twice under one key, as a caller does who lost the first answer; it must make one job."""
        fields, key = {"format": "png"}, f"smoke-{uuid4()}"
        first, second = (self.site.submit(operation.path, self.photo, fields=fields, key=key) for _sent in range(2))
        if not first.get("job_id") or not isinstance(first.get("credits"), int):
            raise SmokeFailure(f"The accepted job of {operation.name} has no id or no price: {first!r}")
        if first["job_id"] != second.get("job_id"):
            raise SmokeFailure(f"One request for {operation.name}, repeated, made two jobs.")
        return first

    def _ended(self, job_id: str, end: float) -> dict[str, Any]:
        while (job := self.site.job(job_id)).get("status") not in _ENDED:
            if time.monotonic() > end:
                raise SmokeFailure(
                    f"After {self.patience:g} s job {job_id} ({job.get('operation')}) is still {job.get('status')}, "
                    f"stage {job.get('stage')}."
                )
            time.sleep(_PAUSE_SECONDS)
        if job["status"] != JobStatus.COMPLETED.value:
            raise SmokeFailure(f"Job {job_id} ({job.get('operation')}) has {job['status']}: {job.get('error')}")
        return job

    def _look_at(self, operation: Operation, job: dict[str, Any]) -> None:
        output = job.get("output") or {}
        if not output.get("url"):
            raise SmokeFailure(f"The job of {operation.name} has completed without a picture.")
        file = self.site.download(output["url"])
        picture = _decoded(file, of=operation.name)
        told = (output.get("width"), output.get("height"), output.get("bytes"))
        if (*picture.size, len(file)) != told:
            raise SmokeFailure(f"The picture of {operation.name} is not the one that its job tells of.")
        if picture.size != self._expected_size(operation, job):
            raise SmokeFailure(f"The picture of {operation.name} has {picture.width} x {picture.height} pixels.")
        if all(low == high for low, high in _extrema(picture)):
            raise SmokeFailure(f"The picture of {operation.name} is of one colour.")
        engine = (job.get("engine") or {}).get("name") or "an engine without a name"
        self.say(f"{operation.name}: {picture.width} x {picture.height}, made by {engine}")

    def _expected_size(self, operation: Operation, job: dict[str, Any]) -> tuple[int, int]:
        with Image.open(io.BytesIO(self.photo)) as photo:
            return operation.output_size(photo.width, photo.height, job.get("params", {}))

    def _see_charged(self, before: Credits, price: int) -> None:
        due = Credits(available=before.available - price, held=before.held)
        end = time.monotonic() + self.settling
        while (now := self.site.credits()) != due:
            if now.available < due.available:
                raise SmokeFailure(f"The jobs cost {price} credits, and {before.available - now.available} are gone.")
            if time.monotonic() > end:
                raise SmokeFailure(f"After {self.settling:g} s the jobs are not settled: {now}, due is {due}.")
            time.sleep(_PAUSE_SECONDS)
        self.say(f"charged once: {price} credits")


def _decoded(file: bytes, *, of: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(file), formats=["PNG"])
        picture.load()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SmokeFailure(f"The picture of {of} is no whole PNG: {error}") from error
    return picture


def _extrema(picture: Image.Image) -> tuple[tuple[float, float], ...]:
    """Return the lowest and highest value of each channel; a cut-out of nothing differs in none."""
    seen = picture.convert("RGBA").getextrema()
    return tuple(pair for pair in seen if isinstance(pair, tuple))
