"""Looking at jobs, listing and cancelling them; submitting is in test_api_submit.py."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

import billing.services
from billing.models import LedgerEntry
from inference.errors import InferenceRefused
from inference.fake_client import Script
from jobs.states import JobStatus
from jobs.tests.asking import JOBS, PROBLEM, asking_with, begin, key_with, refused

if TYPE_CHECKING:
    from accounts.models import Account, User
    from jobs.models import Job
    from jobs.tests.conftest import World

pytestmark = pytest.mark.usefixtures("adapted")


@pytest.fixture
def job(world: World, rich: Account) -> Job:
    return world.submit(rich)


class TestAnyEndpoint:
    @pytest.fixture(params=["get job", "list", "cancel", "submit"])
    def call(self, request: pytest.FixtureRequest, job: Job) -> tuple[str, str]:
        calls = {
            "get job": ("GET", f"{JOBS}/{job.id}"),
            "list": ("GET", JOBS),
            "cancel": ("POST", f"{JOBS}/{job.id}/cancel"),
            "submit": ("POST", "/api/v1/images/upscale"),
        }
        return calls[request.param]

    def test_asks_who_it_is(self, call: tuple[str, str]) -> None:
        answer = APIClient().generic(*call)

        refused(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_does_not_know_a_bad_key(self, call: tuple[str, str]) -> None:
        answer = asking_with("img_live_nonsense").generic(*call)

        refused(answer, 401, "invalid_api_key")
        assert answer["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_names_the_scope_that_a_key_lacks(self, call: tuple[str, str], rich: Account) -> None:
        given, missing = ("jobs:write", "jobs:read") if call[0] == "GET" else ("jobs:read", "jobs:write")

        answer = asking_with(key_with(rich, given)).generic(*call)

        refused(answer, 403, "scope_missing")
        assert missing in answer.json()["detail"]

    def test_knows_no_other_method(self, call: tuple[str, str], api: APIClient) -> None:
        answer = api.generic("PATCH", call[1])

        refused(answer, 405, "method_not_allowed")
        assert call[0] in answer["Allow"]

    def test_asks_a_browser_for_its_csrf_token_before_it_changes_anything(
        self, call: tuple[str, str], alice: User
    ) -> None:
        browser = APIClient(enforce_csrf_checks=True)
        browser.force_login(alice)

        answer = browser.generic(*call)

        if call[0] == "POST":
            refused(answer, 403, "csrf_failed")
        else:
            assert answer.status_code == 200


class TestAJob:
    def test_is_shown_to_everybody_of_its_account(self, job: Job, api: APIClient, bob: User) -> None:
        browser = APIClient()
        browser.force_login(bob)

        by_key, by_session = (who.get(f"{JOBS}/{job.id}") for who in (api, browser))

        assert by_key.status_code == 200
        assert by_key.json() == by_session.json()
        assert (by_key.json()["job_id"], by_key.json()["status"]) == (str(job.id), "queued")

    def test_is_shown_with_a_link_to_its_result_once_it_is_completed(
        self, world: World, job: Job, api: APIClient
    ) -> None:
        world.runner.run(job.id)

        seen = api.get(f"{JOBS}/{job.id}").json()

        assert (seen["status"], seen["stage"], seen["progress"], seen["error"]) == ("completed", "done", 100, None)
        assert seen["output"]["filename"] == "holiday-upscale.png"
        assert seen["output"]["url"].startswith("/memory/outputs/")
        assert seen["engine"]["name"] == "fake"
        assert seen["provenance"]["device"]["name"] == "Tesla T4"
        assert (seen["provenance"]["parameters"]["seed"], seen["provenance"]["seconds"]["infer"]) == (7, 2.1)

    def test_says_in_a_sentence_why_it_failed(self, world: World, job: Job, api: APIClient) -> None:
        world.client.will(Script(error=InferenceRefused("bad_image", "The photo has no pixels.")))
        world.runner.run(job.id)

        seen = api.get(f"{JOBS}/{job.id}").json()

        assert (seen["status"], seen["output"]) == ("failed", None)
        assert seen["error"] == {"code": "bad_image", "message": "The photo has no pixels."}

    def test_is_shown_as_queued_while_its_state_is_lost(self, world: World, job: Job, api: APIClient) -> None:
        world.states.delete([job.id])

        assert api.get(f"{JOBS}/{job.id}").json()["status"] == "queued"

    def test_of_a_stranger_does_not_exist(self, job: Job, charlie_key: str) -> None:
        refused(asking_with(charlie_key).get(f"{JOBS}/{job.id}"), 404, "job_not_found")

    @pytest.mark.parametrize("name", ["6f1aafc0-d974-4591-9ede-ccb6806e23b1", "1", "nonsense", "%00"])
    def test_that_is_unknown_does_not_exist(self, api: APIClient, name: str) -> None:
        answer = api.get(f"{JOBS}/{name}")

        assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM)


class TestCancelling:
    def test_a_queued_job_gives_its_credits_back(self, job: Job, api: APIClient, rich: Account) -> None:
        answer = api.post(f"{JOBS}/{job.id}/cancel")

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["completed_at"] is not None
        assert billing.services.balance(rich) == billing.services.Balance(available=100, held=0)

    def test_a_job_that_is_worked_on_stops_it(self, world: World, job: Job, api: APIClient, rich: Account) -> None:
        begin(world, job)

        answer = api.post(f"{JOBS}/{job.id}/cancel")

        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert world.state(job).status is JobStatus.CANCELLED
        assert billing.services.balance(rich).held == 0

    def test_twice_is_harmless(self, job: Job, api: APIClient) -> None:
        first, second = (api.post(f"{JOBS}/{job.id}/cancel") for _ in range(2))

        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json() == second.json()
        assert LedgerEntry.objects.filter(kind="release").count() == 1

    def test_a_completed_job_is_a_conflict_and_it_stays_charged(
        self, world: World, job: Job, api: APIClient, rich: Account
    ) -> None:
        world.runner.run(job.id)

        answer = api.post(f"{JOBS}/{job.id}/cancel")

        refused(answer, 409, "illegal_move")
        assert "completed" in answer.json()["detail"]
        assert billing.services.balance(rich) == billing.services.Balance(available=100 - job.credits, held=0)

    def test_is_not_for_strangers(self, world: World, job: Job, charlie_key: str) -> None:
        refused(asking_with(charlie_key).post(f"{JOBS}/{job.id}/cancel"), 404, "job_not_found")
        assert world.state(job).status is JobStatus.QUEUED

    def test_an_unknown_job_is_not_found(self, api: APIClient) -> None:
        refused(api.post(f"{JOBS}/{uuid4()}/cancel"), 404, "job_not_found")
