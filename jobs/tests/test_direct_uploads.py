"""The rules of direct uploads, over memory: what may be sent, and that one job, once, gets exactly what was sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import billing.services
from billing.errors import InsufficientCredits
from jobs.errors import (
    AccountClosed,
    FileTooLarge,
    IdempotencyKeyReused,
    NotAnImage,
    TooManyUploads,
    Unavailable,
    UploadExpired,
    UploadIncomplete,
    UploadMismatch,
    UploadNotFound,
    UploadUsed,
)
from jobs.models import DirectUpload, Job
from jobs.operations import OPERATIONS
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from accounts.models import Account, User

MEGABYTE = 2**20


def opened(world: World, account: Account, content: bytes = b"", **options: Any) -> Any:
    """Open an upload for this content, and send it there unless it is empty."""
    upload, slot = world.uploads.open(
        account=account,
        filename=options.get("filename", "beach.png"),
        content_type=options.get("content_type", "image/png"),
        size=options.get("size", len(content)),
        now=world.clock(),
    )
    if content:
        world.upload_store.put(slot.url, content, slot.headers["Content-Type"])
    return upload


def submit(world: World, account: Account, upload_id: object, **options: Any) -> Job:
    return world.uploads.submit(
        account=account,
        operation=OPERATIONS[options.pop("operation", "upscale")],
        values=options.pop("values", {}),
        upload_id=str(upload_id),
        now=world.clock(),
        **options,
    )


class TestAnUpload:
    def test_becomes_the_input_of_a_job_that_completes(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, png(80, 60))

        job = submit(world, rich, upload.id, values={"scale": 2})

        assert (job.filename, job.input_width, job.input_bytes) == ("beach.png", 80, len(png(80, 60)))
        assert world.images.read(job.input_path) == png(80, 60)
        assert world.runner.run(job.id).name == "ENDED"
        assert DirectUpload.objects.get().used_by == job

    def test_may_be_larger_than_a_form(self, world: World, rich: Account) -> None:
        assert opened(world, rich, size=100 * MEGABYTE)
        with pytest.raises(FileTooLarge, match="at most 100 MB"):
            opened(world, rich, size=100 * MEGABYTE + 1)

    def test_is_bounded_by_an_accounts_own_limit(self, world: World, rich: Account) -> None:
        rich.max_upload_megabytes = 2

        with pytest.raises(FileTooLarge, match="at most 2 MB"):
            opened(world, rich, size=2 * MEGABYTE + 1)

    def test_of_no_kind_of_picture_is_refused(self, world: World, rich: Account) -> None:
        with pytest.raises(NotAnImage, match="image/jpeg, image/png"):
            opened(world, rich, size=7, content_type="application/pdf")

    def test_of_something_else_than_it_says_is_refused_by_its_bytes(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, b"no picture at all")

        with pytest.raises(NotAnImage):
            submit(world, rich, upload.id)

    def test_is_refused_while_many_wait_unused(self, world: World, rich: Account) -> None:
        for _ in range(20):
            upload = opened(world, rich, png())

        with pytest.raises(TooManyUploads, match="20 uploads"):
            opened(world, rich, size=7)
        submit(world, rich, upload.id)
        assert opened(world, rich, size=7)

    def test_is_for_nobody_whose_account_is_closed(self, world: World, rich: Account) -> None:
        rich.max_unfinished_jobs = 0

        with pytest.raises(AccountClosed):
            opened(world, rich, size=7)


class TestTheJobOfAnUpload:
    def test_is_one(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, png())
        submit(world, rich, upload.id)

        with pytest.raises(UploadUsed):
            submit(world, rich, upload.id)

        assert Job.objects.count() == 1

    def test_is_the_same_for_a_repeat_with_its_key(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, png())

        first = submit(world, rich, upload.id, idempotency_key="k1")
        world.clock.pass_(days=2)
        again = submit(world, rich, upload.id, idempotency_key="k1")

        assert first == again
        with pytest.raises(IdempotencyKeyReused):
            submit(world, rich, upload.id, idempotency_key="k1", values={"scale": 2})

    @pytest.mark.django_db(transaction=True)
    def test_is_one_for_two_requests_at_once(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = opened(world, rich, png())
        copy, other = world.upload_store.copy, []

        def copy_while_another_submits(path: str, *, generation: str, to: str) -> None:
            copy(path, generation=generation, to=to)
            monkeypatch.setattr(world.upload_store, "copy", copy)
            other.append(submit(world, rich, upload.id, idempotency_key="k1"))

        monkeypatch.setattr(world.upload_store, "copy", copy_while_another_submits)

        mine = submit(world, rich, upload.id, idempotency_key="k1")

        assert [mine] == other
        assert Job.objects.count() == 1
        assert [path for path in world.images.objects if path.startswith("inputs/")] == [mine.input_path]

    def test_is_not_made_of_a_strangers_upload(self, world: World, rich: Account, charlie: User) -> None:
        upload = opened(world, rich, png())

        for nobodys in (upload.id, uuid4(), "beach", ""):
            with pytest.raises(UploadNotFound):
                submit(world, charlie.account, nobodys)

    def test_is_not_made_before_the_photo_came(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, size=7)

        with pytest.raises(UploadIncomplete):
            submit(world, rich, upload.id)

    def test_is_not_made_after_it_expired(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, png())
        world.clock.pass_(minutes=61)

        with pytest.raises(UploadExpired):
            submit(world, rich, upload.id)

    def test_is_not_made_of_another_photo_than_was_promised(self, world: World, rich: Account) -> None:
        upload = opened(world, rich, png(), size=7)

        with pytest.raises(UploadMismatch, match="7 bytes"):
            submit(world, rich, upload.id)

    def test_is_not_made_of_a_photo_that_was_replaced_while_it_was_looked_at(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload, find = opened(world, rich, png()), world.upload_store.find

        def find_and_replace(promise: Any) -> str:
            generation = find(promise)
            world.images.objects[promise.path] = bytes(bytearray(png()))
            return generation

        monkeypatch.setattr(world.upload_store, "find", find_and_replace)

        with pytest.raises(UploadMismatch, match="replaced"):
            submit(world, rich, upload.id)
        assert not Job.objects.exists()

    def test_that_cannot_be_paid_leaves_the_upload_for_later(self, world: World, alice: User) -> None:
        upload = opened(world, alice.account, png())
        with pytest.raises(InsufficientCredits):
            submit(world, alice.account, upload.id)

        billing.services.grant(account=alice.account, credits=50, reference="later", now=world.clock())

        assert submit(world, alice.account, upload.id)

    def test_can_be_run_again_whatever_its_size(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = png() + bytes(31 * MEGABYTE)
        job = submit(world, rich, opened(world, rich, content).id)

        again = world.service.rerun(job, now=world.clock())

        assert again.input_bytes == len(content)


class TestTheSweep:
    def test_deletes_what_was_sent_once_nobody_can_send_or_use_it(self, world: World, rich: Account) -> None:
        used, unused = opened(world, rich, png()), opened(world, rich, png(32, 32))
        job = submit(world, rich, used.id)

        assert world.uploads.purge(now=world.clock.pass_(minutes=100)) == (0, 0)
        assert world.uploads.purge(now=world.clock.pass_(minutes=21)) == (2, 0)

        assert list(world.images.objects) == [job.input_path]
        with pytest.raises(UploadExpired):
            submit(world, rich, unused.id)

    def test_forgets_them_after_a_week(self, world: World, rich: Account) -> None:
        opened(world, rich, png())
        world.uploads.purge(now=world.clock.pass_(hours=3))

        world.uploads.purge(now=world.clock.pass_(days=7))

        assert not DirectUpload.objects.exists()

    def test_tries_again_what_it_could_not_delete(
        self, world: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened(world, rich, png())
        now = world.clock.pass_(hours=3)

        def fail(_path: str) -> None:
            raise Unavailable("The image store does not answer.")

        with monkeypatch.context() as away:
            away.setattr(world.upload_store, "delete", fail)
            assert world.uploads.purge(now=now) == (0, 1)

        assert world.uploads.purge(now=now + timedelta(seconds=5)) == (1, 0)
