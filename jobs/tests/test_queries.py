from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import jsonschema
import pytest
from django.core.files.storage import default_storage
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

import billing.services
from inference.errors import InferenceRefused
from inference.fake_client import Script
from jobs import queries
from jobs.errors import InvalidParameters, JobNotFound
from jobs.image_store import DjangoImageStore
from jobs.models import Job
from jobs.states import JobStatus, Stage
from jobs.tests.asking import begin
from jobs.tests.conftest import NOW, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Account, User
    from jobs.states import JobState


HOUR = timedelta(hours=1)


def sign(path: str, *, filename: str) -> str:
    return f"/signed/{len(path)}/{filename}"


def view(job: Job, state: JobState | None) -> dict[str, Any]:
    return queries.job_view(job, state, sign=sign)


def stay_queued(world: World, job: Job) -> None:
    assert world.state(job).status is JobStatus.QUEUED


def complete(world: World, job: Job) -> None:
    world.runner.run(job.id)


def fail(world: World, job: Job) -> None:
    world.client.will(Script(error=InferenceRefused("bad_image", "The photo has no pixels.")))
    world.runner.run(job.id)


def cancel(world: World, job: Job) -> None:
    world.service.cancel(job, now=world.clock())


LIVES = [stay_queued, begin, complete, fail, cancel]


@pytest.fixture(scope="module")
def documented() -> jsonschema.protocols.Validator:
    """Hold an answer against the schema of a job that the API publishes."""
    schema = json.loads(OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True)))
    job = {"$ref": "#/components/schemas/JobOut", "components": schema["components"]}
    return jsonschema.Draft202012Validator(job, format_checker=jsonschema.FormatChecker())


class TestJobView:
    @pytest.mark.parametrize("live", LIVES)
    @pytest.mark.parametrize("source", ["live state", "SQL"])
    def test_has_the_documented_shape_whatever_happened_and_wherever_it_is_read(
        self,
        world: World,
        rich: Account,
        documented: jsonschema.protocols.Validator,
        live: Callable[[World, Job], None],
        source: str,
    ) -> None:
        job = world.submit(rich)
        live(world, job)

        if source == "SQL":
            job.refresh_from_db()
        seen = view(job, world.state(job) if source == "live state" else None)

        documented.validate(json.loads(json.dumps(seen)))
        assert seen.keys() == documented.schema["components"]["schemas"]["JobOut"]["properties"].keys()

    @pytest.mark.parametrize("live", [complete, fail, cancel])
    def test_of_an_ended_job_is_the_same_from_its_live_state_and_from_sql(
        self, world: World, rich: Account, live: Callable[[World, Job], None]
    ) -> None:
        job = world.submit(rich)
        live(world, job)

        # As it was before it was settled, and as it is since.
        before, since = view(job, world.state(job)), view(Job.objects.get(), None)

        assert before == since
        assert before["completed_at"] is not None

    def test_of_a_job_that_was_settled_before_there_was_provenance_shows_what_its_engine_told(
        self, world: World, rich: Account
    ) -> None:
        job = world.submit(rich)
        complete(world, job)
        told = {"name": "light", "version": "1", "weights_sha256": "", "parameters": {"seed": 7}, "warnings": ["Mind."]}
        Job.objects.update(outcome={"engine": told})

        seen = view(Job.objects.get(), None)

        assert seen["engine"] == {"name": "light", "version": "1", "weights_sha256": ""}
        assert (seen["provenance"]["parameters"], seen["provenance"]["warnings"]) == ({"seed": 7}, ["Mind."])
        assert seen["provenance"]["device"] is None

    def test_shows_a_preview_while_the_job_runs(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        begin(world, job)
        state = world.state(job)

        report = state.report(now=NOW, lease=HOUR, stage=Stage.INFERRING, fraction=0.5, preview=b"\xff\xd8jpeg")

        seen = view(job, report)
        assert (seen["preview"], seen["stage"]) == ("data:image/jpeg;base64,/9hqcGVn", "inferring")
        assert 40 < seen["progress"] < 60

    def test_gives_no_path_of_the_image_store_away(self, world: World, rich: Account) -> None:
        job = world.submit(rich, filename="secret place.png")
        complete(world, job)
        store = DjangoImageStore(default_storage)

        def link(path: str, *, filename: str) -> str:
            return store.link(path, filename=filename, lifetime=HOUR)

        text = json.dumps(queries.job_view(Job.objects.get(), None, sign=link))

        assert "/files/" in text
        for inside in ("inputs/", "outputs/", "result.png", "secret_place", str(job.account_id)):
            assert inside not in text

    def test_links_to_nothing_once_the_images_are_deleted(self, world: World, rich: Account) -> None:
        job = world.submit(rich)
        complete(world, job)
        Job.objects.update(purged_at=NOW)

        seen = view(Job.objects.get(), None)

        assert (seen["input"]["url"], seen["output"]["url"]) == (None, None)
        assert seen["output"]["width"] == 256

    @pytest.mark.parametrize(
        ("filename", "operation", "result"),
        [
            ("holiday.jpeg", "upscale", "holiday-upscale.png"),
            ("a.b.c.png", "background_remove", "a.b.c-background-remove.png"),
            ("no-suffix", "upscale", "no-suffix-upscale.png"),
            (".hidden", "upscale", ".hidden-upscale.png"),
        ],
    )
    def test_names_the_result_after_the_photo(
        self, world: World, rich: Account, filename: str, operation: str, result: str
    ) -> None:
        job = world.submit(rich, operation, filename=filename)
        complete(world, job)

        assert view(Job.objects.get(), None)["output"]["filename"] == result


class TestFindJob:
    def test_finds_what_the_account_has(self, world: World, rich: Account) -> None:
        job = world.submit(rich)

        assert queries.find_job(account=rich, job_id=job.id) == job

    def test_finds_nothing_of_others(self, world: World, rich: Account, charlie: User) -> None:
        job = world.submit(rich)

        with pytest.raises(JobNotFound):
            queries.find_job(account=charlie.account, job_id=job.id)

    def test_finds_nothing_that_is_not_there(self, rich: Account) -> None:
        with pytest.raises(JobNotFound):
            queries.find_job(account=rich, job_id=uuid4())


class TestPageOf:
    @pytest.fixture
    def three(self, world: World, rich: Account) -> list[Job]:
        billing.services.grant(account=rich, credits=10, reference="more", now=NOW)
        jobs = []
        for _ in range(3):
            world.clock.pass_(seconds=1)
            jobs.append(world.submit(rich))
        return jobs[::-1]

    def test_of_exactly_what_there_is_has_no_neighbours(self, rich: Account, three: list[Job]) -> None:
        assert queries.page_of(queries.owned_by(rich), size=3) == queries.Page(three, next=None, previous=None)

    def test_begins_behind_a_job_although_that_job_is_gone(self, rich: Account, three: list[Job]) -> None:
        first = queries.page_of(queries.owned_by(rich), size=1)
        three[0].delete()

        assert queries.page_of(queries.owned_by(rich), size=1, cursor=first.next or "").jobs == [three[1]]

    def test_shows_an_account_no_job_of_another_by_its_cursor(
        self, rich: Account, three: list[Job], charlie: User
    ) -> None:
        cursor = queries.page_of(queries.owned_by(rich), size=1).next or ""

        assert queries.page_of(queries.owned_by(charlie.account), size=5, cursor=cursor).jobs == []

    def test_refuses_a_cursor_of_somebodys_own_making(self, rich: Account) -> None:
        with pytest.raises(InvalidParameters):
            queries.page_of(queries.owned_by(rich), size=1, cursor="b2xkZXI=")
