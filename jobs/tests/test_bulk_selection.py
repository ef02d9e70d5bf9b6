from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.bulk.selection import CHUNK, WORTH_A_RETRY, Selection, read_ids, read_moment
from jobs.models import IdempotencyRecord, Job
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from accounts.models import Account, User

HOUR = timedelta(hours=1)


def job(account: Account, **columns: Any) -> Job:
    return Job.objects.create(**_columns(account, **columns))


def _columns(account: Account, **columns: Any) -> dict[str, Any]:
    requested_at = columns.pop("requested_at", NOW)
    return {
        "account": account,
        "operation": "upscale",
        "params": {},
        "credits": 2,
        "requested_at": requested_at,
        "expires_at": requested_at + timedelta(days=7),
        "filename": "photo.png",
        "input_path": "inputs/x/photo.png",
        "input_width": 64,
        "input_height": 48,
        "input_bytes": 200,
        "input_format": "png",
        "status": "completed",
        "settled_at": NOW,
        **columns,
    }


def chosen(**filters: Any) -> list[Job | UUID]:
    return list(Selection(**{"run": "run", "states": ("completed", "failed"), **filters}))


@pytest.fixture
def account(alice: User) -> Account:
    return alice.account


class TestASelection:
    @pytest.mark.parametrize(
        ("columns", "filters"),
        [
            ({"operation": "enhance"}, {"operations": ("enhance", "style_aged")}),
            ({"status": "failed"}, {"states": ("failed",)}),
            ({"status": "failed", "error_code": "timeout"}, {"error_codes": WORTH_A_RETRY}),
            ({"outcome": {"engine": {"name": "old", "version": "1"}}}, {"engine": "old", "engine_version": "1"}),
            ({"requested_at": NOW - HOUR}, {"until": NOW}),
            ({"requested_at": NOW + HOUR}, {"since": NOW + HOUR}),
        ],
    )
    def test_is_of_the_jobs_that_fit(self, account: Account, columns: dict[str, Any], filters: dict[str, Any]) -> None:
        job(account, outcome={"engine": {"name": "old", "version": "2"}})
        fitting = job(account, **columns)

        assert chosen(**filters) == [fitting]

    def test_is_of_one_account_when_asked_for(self, account: Account, charlie: User) -> None:
        mine, _ = job(account), job(charlie.account)

        assert chosen(account_id=account.pk) == [mine]

    def test_leaves_out_what_has_not_ended(self, account: Account) -> None:
        job(account, settled_at=None, status="queued")

        assert chosen(states=("queued", "completed")) == []

    def test_has_the_oldest_first_and_no_more_than_the_limit(self, account: Account) -> None:
        jobs = [job(account, requested_at=NOW - hours * HOUR) for hours in (1, 3, 2)]

        assert chosen(limit=2) == [jobs[1], jobs[2]]
        assert Selection("run", ("completed",), limit=2).count() == 2

    def test_never_feeds_on_what_its_own_run_made(self, account: Account) -> None:
        source = job(account)
        made = job(account, parent=source)
        IdempotencyRecord.objects.create(
            account=account, key=f"run:{source.id}", fingerprint="", job=made, created_at=NOW
        )

        assert chosen() == [source]
        assert set(chosen(run="another")) == {source, made}

    def test_by_ids_keeps_their_order_and_names_those_that_do_not_fit(self, account: Account) -> None:
        first, second, failed = job(account), job(account), job(account, status="failed")
        unknown = uuid4()

        found = chosen(states=("completed",), ids=iter([second.id, unknown, failed.id, first.id]))

        assert found == [second, unknown, failed.id, first]


class TestTheLastOfALine:
    def test_leaves_a_job_to_the_one_that_was_made_of_it(self, account: Account) -> None:
        first = job(account, status="failed")
        second = job(account, status="failed", parent=first)

        assert chosen(states=("failed",), last_of_line=True) == [second]

    @pytest.mark.parametrize("child", [{"status": "completed"}, {"settled_at": None, "status": "queued"}])
    def test_has_no_job_with_a_child_that_succeeded_or_may(self, account: Account, child: dict[str, Any]) -> None:
        job(account, parent=job(account, status="failed"), **child)

        assert chosen(states=("failed",), last_of_line=True) == []

    def test_does_not_take_a_failed_try_of_something_else_for_a_retry(self, account: Account) -> None:
        first = job(account, status="failed")
        job(account, status="failed", operation="enhance", parent=first)

        assert first in chosen(states=("failed",), last_of_line=True)

    def test_still_has_a_job_that_this_run_has_retried_so_that_it_can_be_followed(self, account: Account) -> None:
        first = job(account, status="failed")
        retried = job(account, parent=first)
        IdempotencyRecord.objects.create(
            account=account, key=f"run:{first.id}", fingerprint="", job=retried, created_at=NOW
        )

        assert chosen(states=("failed",), last_of_line=True) == [first]


class TestThousandsOfJobs:
    COUNT = 5 * CHUNK + 7

    @pytest.fixture
    def many(self, account: Account) -> None:
        # Ten at each moment, so that chunks end in the middle of one.
        outcome = {"engine": {"name": "old"}, "padding": "x" * 2_000}
        Job.objects.bulk_create(
            Job(**_columns(account, requested_at=NOW + timedelta(seconds=number // 10), outcome=outcome))
            for number in range(self.COUNT)
        )

    def test_are_all_walked_through_once_a_chunk_at_a_time(self, many: None) -> None:
        with CaptureQueriesContext(connection) as queries:
            ids = [found.id for found in Selection("run", ("completed",)) if isinstance(found, Job)]

        assert len(set(ids)) == len(ids) == self.COUNT
        assert len(queries) == self.COUNT // CHUNK + 2

    def test_take_no_more_memory_than_two_chunks_of_them(self, many: None) -> None:
        def peak(limit: int) -> int:
            tracemalloc.start()
            try:
                for _ in Selection("run", ("completed",), limit=limit):
                    pass
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(10)

        assert peak(self.COUNT) < 1.2 * peak(2 * CHUNK)


class TestIds:
    def test_are_the_first_words_of_lines(self) -> None:
        ids = [uuid4(), uuid4(), uuid4()]
        lines = ["# job\n", f"{ids[0]}\n", "\n", f"{ids[1]},failed,2026\n", f"  {ids[2]} x\n"]

        assert list(read_ids(lines)) == ids

    def test_that_are_none_are_named_with_their_line(self) -> None:
        with pytest.raises(ValueError, match=r"Line 2 begins with 'job_id'"):
            list(read_ids([f"{uuid4()}\n", "job_id\n"]))


class TestAMoment:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("90m", NOW - timedelta(minutes=90)),
            ("12h", NOW - timedelta(hours=12)),
            ("7d", NOW - timedelta(days=7)),
            ("2w", NOW - timedelta(days=14)),
            ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
            ("2026-02-01T09:30", datetime(2026, 2, 1, 9, 30, tzinfo=UTC)),
            ("2026-02-01T09:30+02:00", datetime(2026, 2, 1, 7, 30, tzinfo=UTC)),
        ],
    )
    def test_is_a_date_or_an_age(self, text: str, moment: datetime) -> None:
        assert read_moment(text, now=NOW) == moment

    @pytest.mark.parametrize("text", ["yesterday", "7 days", "2026-13-01", "2026-02-30T10:00", ""])
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither a date"):
            read_moment(text, now=NOW)
