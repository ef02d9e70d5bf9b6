from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import AttemptsExhausted, IllegalMove, JobBusy, JobError, JobOver
from jobs.states import (
    MAX_HISTORY,
    MAX_PREVIEW_BYTES,
    JobState,
    JobStatus,
    Stage,
    StoredImage,
    from_json,
    queued,
    to_json,
)
from jobs.tests.conftest import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = timedelta(seconds=60)
PHOTO = StoredImage("inputs/x/a.png", 64, 48, 100, "png")
RESULT = StoredImage("outputs/x/1/result.png", 256, 192, 900, "png")


def new() -> JobState:
    return queued(
        job_id=uuid4(),
        owner="alice",
        operation="upscale",
        params={"scale": 4},
        image=PHOTO,
        now=NOW,
        expires_at=NOW + timedelta(days=7),
    )


MOVES: dict[str, Callable[[JobState], JobState]] = {
    "claim": lambda state: state.claim(now=NOW, lease=LEASE, max_attempts=5),
    "begin_again": lambda state: state.begin_again(now=NOW, lease=LEASE, max_attempts=5),
    "report": lambda state: state.report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=0.5),
    "complete": lambda state: state.complete(now=NOW, output=RESULT, engine={"name": "e"}, timings={"inferring": 1.0}),
    "fail": lambda state: state.fail(now=NOW, code="broken", message="It broke."),
    "cancel": lambda state: state.cancel(now=NOW),
    "release": lambda state: state.release(now=NOW),
}


def in_status(status: str) -> JobState:
    path = {"queued": [], "processing": ["claim"], "completed": ["claim", "complete"], "failed": ["fail"]}
    state = new()
    for move in path.get(status, ["cancel"]):
        state = MOVES[move](state)
    return state


LEGAL = {
    ("queued", "claim"): "processing",
    ("queued", "fail"): "failed",
    ("queued", "cancel"): "cancelled",
    ("processing", "begin_again"): "processing",
    ("processing", "report"): "processing",
    ("processing", "complete"): "completed",
    ("processing", "fail"): "failed",
    ("processing", "cancel"): "cancelled",
    ("processing", "release"): "queued",
}


class TestEveryMove:
    @pytest.mark.parametrize("move", MOVES)
    @pytest.mark.parametrize("status", [status.value for status in JobStatus])
    def test_is_legal_only_where_the_table_says_so(self, status: str, move: str) -> None:
        state = in_status(status)

        if (status, move) in LEGAL:
            assert MOVES[move](state).status == LEGAL[status, move]
            return
        with pytest.raises((IllegalMove, JobOver, JobBusy)):
            MOVES[move](state)

    @given(st.lists(st.sampled_from(sorted(MOVES)), max_size=40))
    def test_in_any_order_keeps_what_is_promised(self, moves: list[str]) -> None:
        state, begun, released = new(), 0, 0
        for name in moves:
            before = state
            try:
                state = MOVES[name](state)
            except JobError:
                continue
            begun += name in {"claim", "begin_again"}
            released += name == "release"
            assert not before.status.terminal
            assert state.version == before.version + 1
            assert state.attempt == begun - released
            assert 0 <= state.progress <= 100
            assert state.progress >= before.progress or name in {"claim", "begin_again", "release"}
            assert (state.lease_until is not None and state.lease_until > NOW) == (state.status == "processing")
            versions = [line.version for line in state.history]
            assert versions == sorted(versions)
            assert len(versions) <= MAX_HISTORY
            assert from_json(json.loads(json.dumps(to_json(state)))) == state


class TestClaim:
    def test_waits_for_the_lease_of_another_worker(self) -> None:
        held = in_status("processing")

        with pytest.raises(JobBusy):
            held.claim(now=NOW + LEASE - timedelta(seconds=1), lease=LEASE, max_attempts=5)
        takeover = held.claim(now=NOW + LEASE, lease=LEASE, max_attempts=5)
        assert (takeover.attempt, takeover.progress) == (2, 0)

    def test_stops_after_so_many_attempts(self) -> None:
        state = replace(in_status("processing"), attempt=5, lease_until=NOW)

        with pytest.raises(AttemptsExhausted):
            state.claim(now=NOW, lease=LEASE, max_attempts=5)

    def test_notes_how_long_the_job_waited(self) -> None:
        claimed = new().claim(now=NOW + timedelta(seconds=3), lease=LEASE, max_attempts=5)

        assert claimed.timings == {"queued": 3.0}


class TestReport:
    def test_never_falls_within_an_attempt(self) -> None:
        state = MOVES["report"](in_status("processing"))

        later = state.report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=0.1)

        assert later.progress == state.progress

    @pytest.mark.parametrize(("fraction", "low", "high"), [(-1.0, 0, 5), (0.5, 40, 60), (1.0, 95, 97), (7.0, 95, 97)])
    def test_shows_inference_as_nearly_all_of_the_work(self, fraction: float, low: int, high: int) -> None:
        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=fraction)

        assert low <= state.progress <= high

    def test_drops_a_preview_that_is_too_large_and_keeps_the_last(self) -> None:
        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, preview=b"small")

        state = state.report(now=NOW, lease=LEASE, stage=Stage.INFERRING, preview=bytes(MAX_PREVIEW_BYTES + 1))

        assert state.preview == b"small"


class TestASnapshot:
    def test_is_stored_under_the_names_of_the_design(self) -> None:
        document: dict[str, Any] = to_json(in_status("completed"))

        assert set(document) == {
            "job_id",
            "owner",
            "operation",
            "params",
            "input",
            "status",
            "version",
            "attempt",
            "lease_until",
            "stage",
            "progress",
            "preview",
            "output",
            "engine",
            "error",
            "timings",
            "history",
            "created_at",
            "updated_at",
            "expires_at",
        }
