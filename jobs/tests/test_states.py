from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
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
    from datetime import datetime

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
    "complete": lambda state: state.complete(
        now=NOW, output=RESULT, engine={"name": "e"}, provenance={"seconds": {"infer": 0.9}}, timings={"inferring": 1.0}
    ),
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


class TestALife:
    """Any moves at any times, as two workers, a sweep and a person might make them."""

    @given(st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 90)), max_size=60))
    def test_keeps_what_is_promised_as_time_passes(self, moves: list[tuple[str, int]]) -> None:
        state, now, begun, released = new(), NOW, 0, 0
        for name, seconds in moves:
            before, now = state, now + timedelta(seconds=seconds)
            try:
                state = moved(state, name, now)
            except JobError:
                assert not (name == "claim" and before.attempt < 5 and before.lapsed(now=now))
                continue
            begun += name in {"claim", "begin_again"}
            released += name == "release"
            assert not before.status.terminal
            assert (state.version, state.updated_at) == (before.version + 1, now)
            assert state.attempt == begun - released
            assert 0 <= state.attempt <= 5
            assert before.progress <= state.progress <= 100 or name in {"claim", "begin_again", "release"}
            assert (state.lease_until is not None and state.lease_until > now) == (state.status == "processing")
            assert not state.status.terminal or state.lease_until is None
            assert state.preview in ({b"result", None} if state.status.terminal else {b"jpeg", None})
            assert history_is_in_order(state)
            assert from_json(json.loads(json.dumps(to_json(state)))) == state

    def test_that_is_long_keeps_the_newest_of_its_history(self) -> None:
        state = new()
        for _ in range(MAX_HISTORY):
            state = MOVES["release"](MOVES["claim"](state))

        assert len(state.history) == MAX_HISTORY
        assert history_is_in_order(state)
        assert state.history[-1].version == state.version


def moved(state: JobState, name: str, now: datetime) -> JobState:
    arguments: dict[str, dict[str, Any]] = {
        "claim": {"lease": LEASE, "max_attempts": 5},
        "begin_again": {"lease": LEASE, "max_attempts": 5},
        "report": {"lease": LEASE, "stage": Stage.INFERRING, "fraction": now.second / 60, "preview": b"jpeg"},
        "complete": {"output": RESULT, "engine": {"name": "e"}, "timings": {"inferring": 1.0}, "preview": b"result"},
        "fail": {"code": "broken", "message": "It broke."},
    }
    after: JobState = getattr(state, name)(now=now, **arguments.get(name, {}))
    return after


def history_is_in_order(state: JobState) -> bool:
    lines = state.history
    rising = all(one.version < two.version and one.at <= two.at for one, two in pairwise(lines))
    return rising and len(lines) <= MAX_HISTORY and (lines[-1].status, lines[-1].stage) == (state.status, state.stage)


class TestClaim:
    def test_waits_for_the_lease_of_another_worker(self) -> None:
        held = in_status("processing")

        with pytest.raises(JobBusy):
            held.claim(now=NOW + LEASE - timedelta(seconds=1), lease=LEASE, max_attempts=5)
        takeover = held.claim(now=NOW + LEASE, lease=LEASE, max_attempts=5)
        assert (takeover.attempt, takeover.progress) == (2, 0)

    def test_takes_over_a_job_that_has_no_lease(self) -> None:
        state = replace(in_status("processing"), lease_until=None)

        assert state.claim(now=NOW, lease=LEASE, max_attempts=5).attempt == 2

    def test_forgets_what_the_attempt_before_had_shown(self) -> None:
        state = in_status("processing").report(
            now=NOW, lease=LEASE, stage=Stage.UPLOADING, fraction=1.0, preview=b"jpeg"
        )

        takeover = state.claim(now=NOW + LEASE, lease=LEASE, max_attempts=5)

        assert (takeover.stage, takeover.progress, takeover.preview) == (Stage.DOWNLOADING, 0, None)

    def test_does_not_count_what_was_handed_back(self) -> None:
        state = new()
        for _ in range(10):
            state = MOVES["release"](MOVES["claim"](state))

        assert MOVES["claim"](state).attempt == 1

    def test_stops_after_so_many_attempts(self) -> None:
        state = replace(in_status("processing"), attempt=5, lease_until=NOW)

        with pytest.raises(AttemptsExhausted):
            state.claim(now=NOW, lease=LEASE, max_attempts=5)

    def test_of_the_worker_itself_stops_after_as_many(self) -> None:
        with pytest.raises(AttemptsExhausted):
            MOVES["begin_again"](replace(in_status("processing"), attempt=5))

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

    def test_takes_a_fraction_that_is_no_number_for_the_stages_beginning(self) -> None:
        # It comes from the model server as 32 bits that may be anything.
        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=math.nan)

        assert state.progress == 3

    @pytest.mark.parametrize(("fraction", "progress"), [(math.inf, 96), (-math.inf, 3)])
    def test_takes_a_fraction_without_end_for_an_end_of_the_stage(self, fraction: float, progress: int) -> None:
        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, fraction=fraction)

        assert state.progress == progress

    def test_keeps_a_preview_of_exactly_the_limit(self) -> None:
        preview = bytes(MAX_PREVIEW_BYTES)

        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, preview=preview)

        assert state.preview == preview

    def test_drops_a_preview_that_is_too_large_and_keeps_the_last(self) -> None:
        state = in_status("processing").report(now=NOW, lease=LEASE, stage=Stage.INFERRING, preview=b"small")

        state = state.report(now=NOW, lease=LEASE, stage=Stage.INFERRING, preview=bytes(MAX_PREVIEW_BYTES + 1))

        assert state.preview == b"small"


class TestASnapshot:
    @pytest.mark.parametrize("status", [status.value for status in JobStatus])
    def test_comes_back_from_json_as_it_was(self, status: str) -> None:
        state = in_status(status)

        assert from_json(json.loads(json.dumps(to_json(state)))) == state

    def test_that_is_older_than_provenance_is_read_with_what_its_engine_told(self) -> None:
        old = to_json(in_status("completed"))
        del old["provenance"]
        old["engine"] = {"name": "e", "seconds": {"infer": 2.0}, "warnings": ["The prompt was not used."]}

        state = from_json(old)

        assert state.engine == {"name": "e"}
        assert state.provenance is not None
        assert state.provenance["seconds"] == {"infer": 2.0}
        assert state.provenance["warnings"] == ["The prompt was not used."]
        assert state.provenance["device"] is None

    def test_that_is_older_and_whose_engine_told_nothing_has_no_provenance(self) -> None:
        old = to_json(in_status("completed"))
        del old["provenance"]

        assert from_json(old).provenance is None

    def test_says_what_went_wrong_and_only_then(self) -> None:
        assert to_json(in_status("failed"))["error"] == {"code": "broken", "message": "It broke."}
        assert to_json(in_status("completed"))["error"] is None

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
            "provenance",
            "error",
            "timings",
            "history",
            "created_at",
            "updated_at",
            "expires_at",
        }
