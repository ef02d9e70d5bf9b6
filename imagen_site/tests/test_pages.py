from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client

from imagen_site import pages
from imagen_site.api_errors import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django.test import RequestFactory
    from pytest_django import Settings

    from accounts.models import User


class TestUnderTheApi:
    @pytest.mark.parametrize("path", ["/api/", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1/jobs/1", "/api/v1/%00"])
    def test_an_unknown_address_is_a_problem_in_json(self, client: Client, path: str) -> None:
        answer = client.get(path)

        assert (answer.status_code, answer["Content-Type"]) == (404, CONTENT_TYPE)
        assert answer.json() == {
            "type": "about:blank",
            "title": "Not found",
            "status": 404,
            "code": "not_found",
            "detail": "There is nothing at this address.",
        }

    def test_a_host_that_is_not_ours_is_a_problem_in_json(self, client: Client) -> None:
        answer = client.get("/api/v1/jobs", headers={"Host": "evil.example"})

        assert (answer.status_code, answer["Content-Type"]) == (400, CONTENT_TYPE)
        assert answer.json()["code"] == "malformed"

    def test_what_breaks_outside_a_view_is_a_problem_in_json(self, rf: RequestFactory) -> None:
        answer = pages.broken(rf.get("/api/v1/jobs"))

        assert (answer.status_code, answer["Content-Type"]) == (500, CONTENT_TYPE)


class TestElsewhere:
    @pytest.fixture(autouse=True)
    def _short_error_page(self, settings: Settings) -> None:
        page = {"error.html": "<h1>{{ status }}</h1><p>{{ detail }}</p>"}
        (engine,) = settings.TEMPLATES
        loaders = [("django.template.loaders.locmem.Loader", page)]
        settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": {**engine["OPTIONS"], "loaders": loaders}}]

    def test_an_unknown_address_is_a_page(self, client: Client) -> None:
        answer = client.get("/nothing/here")

        assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert "<h1>404</h1><p>There is nothing at this address.</p>" in answer.content.decode()

    @pytest.mark.parametrize(
        ("view", "status"), [(pages.bad_request, 400), (pages.forbidden, 403), (pages.broken, 500)]
    )
    def test_whatever_else_goes_wrong_is_a_page(
        self, rf: RequestFactory, view: Callable[[HttpRequest], HttpResponse], status: int
    ) -> None:
        answer = view(rf.get("/"))

        assert answer.status_code == status
        assert f"<h1>{status}</h1>" in answer.content.decode()


class TestTheErrorPage:
    def test_says_what_happened_to_whoever_is_signed_in_or_not(self, client: Client, alice: User) -> None:
        before = client.get("/nothing/here")
        client.force_login(alice)
        since = client.get("/nothing/here")

        for answer in (before, since):
            assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
            assert "There is nothing at this address." in answer.content.decode()

    def test_is_shown_although_the_database_is_away(self, rf: RequestFactory) -> None:
        # No session, no person and, without the `db` fixture, no database: as when a middleware broke.
        assert pages.broken(rf.get("/")).status_code == 500


class TestAFormWithoutItsToken:
    def test_is_refused_on_a_page_of_ours(self, db: None) -> None:
        answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {})

        assert answer.status_code == 403
        assert "Load the page again" in answer.content.decode()

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_is_no_matter_where_nothing_is_sent(self, db: None, path: str) -> None:
        assert Client(enforce_csrf_checks=True).put(path).status_code == 405
