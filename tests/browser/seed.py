"""
Jobs in every state, written straight into a site's stores: what the pictures of the pages show.

Run inside the site's settings; writes the jobs' ids by name as JSON. No worker and no model server takes part.
"""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from skimage import data

from accounts import services as accounts
from accounts.models import User
from jobs import adapters
from jobs.image_store import output_path
from jobs.models import Job
from jobs.operations import OPERATIONS
from jobs.states import Stage, StoredImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.states import JobState

LEASE = timedelta(hours=1)
ENGINE = {"name": "realesr-animevideov3", "version": "1", "weights_sha256": "5c1e7b0d" * 8}
PROVENANCE = {
    "device": {"kind": "cuda", "name": "Tesla T4", "precision": "fp16"},
    "batch_size": 3,
    "seconds": {"decode": 0.052, "infer": 4.318, "encode": 0.027},
    "parameters": {"seed": 2847103965, "steps": 30, "strength": 0.6, "guidance_scale": 7.5, "scheduler": "DPM" * 30},
    "checks": {"colour_shift": 0.41, "reduced_psnr_db": 38.2},
    "warnings": ["The negative_prompt was not used: the engine takes none."],
}
POOR_EMAIL = "new@example.com"


def main() -> None:
    """Make an account with jobs in every state and one with nothing; argv: e-mail of the first, password of both."""
    email, password = sys.argv[-2:]
    accounts.open_account(name="Nobody yet", email=POOR_EMAIL, password=password, now=timezone.now())
    person = User.objects.get(email=email)
    for name in ("nightly import", "photo booth"):
        accounts.create_api_key(
            account=person.account, name=name, scopes=["jobs:read"], mode="live", created_by=person, now=timezone.now()
        )
    made = {name: make(person) for name, make in _MAKERS.items()}
    made["again"] = _again(made["completed"])
    Job.objects.filter(id=made["purged"].id).update(purged_at=timezone.now())
    adapters.image_store().delete_job(made["purged"].id)
    adapters.state_store().delete([made["purged"].id])
    sys.stdout.write(json.dumps({name: str(job.id) for name, job in made.items()}))


def advance(job_id: str, step: str) -> None:
    """Move one job a step further: to "processing" with a preview, to "completed" or to "failed"."""
    job = Job.objects.get(id=job_id)
    steps: dict[str, Callable[[Job], None]] = {"processing": _begin, "completed": _complete, "failed": _fail}
    steps[step](job)


def _submit(person: User, operation: str, picture: Image.Image, filename: str, **values: Any) -> Job:
    service = adapters.job_service()
    submission = service.understand(
        account=person.account,
        operation=OPERATIONS[operation],
        values=values,
        content=_encoded(picture, "JPEG"),
        filename=filename,
    )
    return service.submit(submission, now=timezone.now())


def _move(job: Job, move: Callable[[JobState], JobState]) -> None:
    state, version = adapters.state_store().read(job.id)
    adapters.state_store().write(move(state), expected=version)


def _begin(job: Job) -> None:
    now = timezone.now()
    _move(job, lambda state: state.claim(now=now, lease=LEASE, max_attempts=5))
    preview = _preview(_photo_of(job).filter(ImageFilter.GaussianBlur(3)))
    _move(
        job,
        lambda state: state.report(now=now, lease=LEASE, stage=Stage.INFERRING, fraction=0.62, preview=preview),
    )


def _complete(job: Job, result: Callable[[Image.Image], Image.Image] = lambda photo: photo) -> None:
    now = timezone.now()
    photo = _photo_of(job)
    size = OPERATIONS[job.operation].output_size(photo.width, photo.height, job.params)
    picture = result(photo.resize(size, Image.Resampling.LANCZOS))
    kind = "PNG" if picture.mode == "RGBA" else "JPEG"
    content = _encoded(picture, kind)
    path = output_path(job.id, 1, "png" if kind == "PNG" else "jpg")
    adapters.image_store().write(path, io.BytesIO(content))
    output = StoredImage(path, *picture.size, bytes=len(content), format=kind.lower())
    shown = _preview(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")))
    if adapters.state_store().read(job.id)[0].attempt == 0:
        _begin(job)
    spent = {"downloading": 0.12, "inferring": 4.6, "uploading": 0.2}
    _move(
        job,
        lambda state: state.complete(
            now=now, output=output, engine=ENGINE, provenance=PROVENANCE, timings=spent, preview=shown
        ),
    )
    adapters.job_service().settle(job.id, now=now)


def _fail(job: Job) -> None:
    now = timezone.now()
    _begin(job)
    sentence = "The model server ran out of memory five times. Nothing was charged; try a smaller photo."
    _move(job, lambda state: state.fail(now=now, code="attempts_exhausted", message=sentence))
    adapters.job_service().settle(job.id, now=now)


def _again(parent: Job) -> Job:
    job = adapters.job_service().rerun(parent, now=timezone.now(), values={"scale": 2})
    _complete(job)
    return job


def _photo_of(job: Job) -> Image.Image:
    return Image.open(io.BytesIO(adapters.image_store().read(job.input_path)))


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, quality=88)
    return file.getvalue()


def _preview(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((320, 320))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return file.getvalue()


def _cut_out(picture: Image.Image) -> Image.Image:
    mask = Image.new("L", picture.size, 0)
    width, height = picture.size
    ImageDraw.Draw(mask).ellipse((width * 0.15, height * 0.05, width * 0.8, height * 1.2), fill=255)
    cut = picture.convert("RGBA")
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(2)))
    return cut


def _cropped(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return _cut_out(picture).crop((int(width * 0.15), 0, int(width * 0.8), height))


def _faded(picture: Image.Image) -> Image.Image:
    return ImageOps.colorize(ImageOps.grayscale(picture), "#2b1d10", "#f4e6c8")


def _flat(picture: Image.Image) -> Image.Image:
    return ImageOps.posterize(picture.convert("RGB").filter(ImageFilter.ModeFilter(7)), 3)


def _done(
    operation: str, photo: str, filename: str, result: Callable[[Image.Image], Image.Image] = lambda each: each
) -> Callable[[User], Job]:
    def make(person: User) -> Job:
        job = _submit(person, operation, _picture(photo), filename)
        _complete(job, result)
        return job

    return make


def _open(
    operation: str, photo: str, filename: str, step: Callable[[Job], None] | None = None
) -> Callable[[User], Job]:
    def make(person: User) -> Job:
        job = _submit(person, operation, _picture(photo), filename)
        if step:
            step(job)
        return job

    return make


def _picture(name: str) -> Image.Image:
    picture = Image.fromarray(getattr(data, name)())
    picture.thumbnail((480, 480))
    return picture


def _cancel(job: Job) -> None:
    adapters.job_service().cancel(job, now=timezone.now())


_MAKERS: dict[str, Callable[[User], Job]] = {
    "purged": _done("upscale", "coffee", "old.jpg"),
    "cancelled": _open("style_comic", "coffee", "second thoughts.jpg", _cancel),
    "failed": _open("upscale", "rocket", "rocket at dawn, the large one from the archive of 1998.tiff.jpg", _fail),
    "comic": _done("style_comic", "chelsea", "chelsea.jpg", _flat),
    "aged": _done("style_aged", "rocket", "rocket.jpg", _faded),
    "enhanced": _done("enhance", "coffee", "coffee.jpg", ImageOps.autocontrast),
    "cropped": _done("background_remove", "astronaut", "portrait.jpg", _cropped),
    "cut_out": _done("background_remove", "astronaut", "portrait.jpg", _cut_out),
    "completed": _done("upscale", "chelsea", "chelsea.jpg"),
    "processing": _open("upscale", "astronaut", "astronaut.jpg", _begin),
    "drawing": _open("style_comic", "coffee", "cup.jpg", _begin),
    "queued": _open("enhance", "coffee", "morning.jpg"),
    "waiting": _open("upscale", "chelsea", "patience.jpg"),
}
