"""The history: its list, its filters and its thumbnails."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import billing.services
from jobs.errors import Unavailable
from jobs.states import Stage
from jobs.tests.asking import begin
from jobs.tests.conftest import NOW, World

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Account, User
    from jobs.models import Job


class TestAThumbnail:
    def test_is_the_last_preview_kept_by_the_browser_for_its_version(
        self, browser: Client, adapted: World, rich: Account
    ) -> None:
        job = adapted.submit(rich)
        preview_of(adapted, job, b"jpeg")
        version = adapted.state(job).version

        answer = browser.get(f"/jobs/{job.id}/thumbnail.jpg?v={version}")
        unversioned = browser.get(f"/jobs/{job.id}/thumbnail.jpg")

        assert (answer.content, answer["Content-Type"]) == (b"jpeg", "image/jpeg")
        assert answer["Cache-Control"] == "private, max-age=604800, immutable"
        assert unversioned["Cache-Control"] == "private, no-cache"

    def test_outlives_the_work(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)
        preview_of(adapted, job, b"jpeg")
        state, version = adapted.states.read(job.id)
        done = state.complete(now=NOW, output=job.input, engine={}, timings={}, preview=b"jpeg")
        adapted.states.write(done, expected=version)

        assert browser.get(f"/jobs/{job.id}/thumbnail.jpg").content == b"jpeg"

    def test_is_a_neutral_picture_where_there_is_none(self, browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)

        waiting = browser.get(f"/jobs/{job.id}/thumbnail.jpg")
        adapted.states.delete([job.id])
        forgotten = browser.get(f"/jobs/{job.id}/thumbnail.jpg")

        assert waiting["Location"] == forgotten["Location"] == "/static/no-picture.svg"

    def test_is_a_neutral_picture_while_the_state_store_is_away(
        self, browser: Client, adapted: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_job_id: object) -> None:
            raise Unavailable("The state store does not answer.")

        job = adapted.submit(rich)
        monkeypatch.setattr(adapted.states, "read", away)

        assert browser.get(f"/jobs/{job.id}/thumbnail.jpg")["Location"] == "/static/no-picture.svg"

    def test_is_not_there_for_anybody_else(self, strangers_browser: Client, adapted: World, rich: Account) -> None:
        job = adapted.submit(rich)
        preview_of(adapted, job, b"jpeg")

        assert strangers_browser.get(f"/jobs/{job.id}/thumbnail.jpg").status_code == 404


def preview_of(world: World, job: Job, preview: bytes) -> None:
    """Let a worker show what it has made so far."""
    begin(world, job)
    state, version = world.states.read(job.id)
    seen = state.report(now=NOW, lease=timedelta(seconds=60), stage=Stage.INFERRING, fraction=0.5, preview=preview)
    world.states.write(seen, expected=version)


class TestTheList:
    def test_is_empty_at_first_and_says_how_to_begin(self, browser: Client) -> None:
        assert b"No jobs yet" in browser.get("/jobs/").content

    def test_shows_ones_own_jobs_only_newest_first(
        self, browser: Client, adapted: World, rich: Account, charlie: User
    ) -> None:
        billing.services.grant(account=charlie.account, credits=10, reference="charlie", now=NOW)
        adapted.submit(charlie.account, filename="secret.png")
        adapted.submit(rich, filename="old.png")
        adapted.clock.pass_(seconds=1)
        adapted.submit(rich, filename="new.png")

        page = browser.get("/jobs/").content.decode()

        assert page.index("new.png") < page.index("old.png")
        assert "secret.png" not in page

    def test_filters_and_turns_pages(self, browser: Client, adapted: World, rich: Account) -> None:
        for number in range(26):
            adapted.submit(rich, filename=f"photo-{number}.png")
        adapted.submit(rich, "background_remove", filename="cut.png")

        first = browser.get("/jobs/?operation=upscale").content.decode()
        second = browser.get("/jobs/?operation=upscale&page=2").content.decode()
        none = browser.get("/jobs/?status=completed").content.decode()

        assert first.count("data-job=") == 24
        assert "operation=upscale&amp;page=2" in first
        assert second.count("data-job=") == 2
        assert "cut.png" not in first + second
        assert "No job fits." in none

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("text=HOLI", {"holiday.png"}),
            ("since=2026-03-02", {"later.png"}),
            ("until=2026-03-01", {"holiday.png"}),
            ("since=2026-03-01&until=2026-03-02", {"holiday.png", "later.png"}),
            # What makes no sense filters nothing.
            ("since=yesterday&until=9999-12-31&status=odd&operation=odd&text=%00", {"holiday.png", "later.png"}),
        ],
    )
    def test_filters_by_name_and_day(
        self, browser: Client, adapted: World, rich: Account, query: str, found: set[str]
    ) -> None:
        adapted.submit(rich)
        adapted.clock.pass_(days=1)
        adapted.submit(rich, filename="later.png")

        page = browser.get(f"/jobs/?{query}").content.decode()

        assert {name for name in ("holiday.png", "later.png") if f"<strong>{name}</strong>" in page} == found

    def test_signs_no_links(
        self, browser: Client, adapted: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adapted.runner.run(adapted.submit(rich).id)

        page = browser.get("/jobs/").content.decode()

        assert "/memory/" not in page
        assert "/files/" not in page
        assert "thumbnail.jpg?v=" in page
