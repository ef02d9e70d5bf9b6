from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import time_machine
from limits import parse
from rest_framework.test import APIClient

from imagen_site.api_errors import CONTENT_TYPE
from imagen_site.rate_limits import Limiter, _redis

if TYPE_CHECKING:
    from pytest_django import Settings

    from accounts.models import User

JOBS = "/api/v1/jobs"
UPSCALE = "/api/v1/images/upscale"


@pytest.fixture(autouse=True)
def _small_rates(settings: Settings) -> None:
    settings.IMAGEN = replace(settings.IMAGEN, read_rate="3/minute", submit_rate="2/minute")


@pytest.fixture
def api(alice_key: str) -> APIClient:
    return asking_with(alice_key)


def asking_with(key: str) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_X_API_KEY=key)
    return api


def statuses(api: APIClient, method: str, path: str, times: int) -> list[int]:
    return [api.generic(method, path).status_code for _ in range(times)]


class TestAnAccount:
    def test_that_asks_too_often_is_told_when_to_come_back(self, api: APIClient) -> None:
        statuses(api, "GET", JOBS, 3)

        answer = api.get(JOBS)

        assert (answer.status_code, answer["Content-Type"]) == (429, CONTENT_TYPE)
        assert answer.json()["code"] == "too_many_requests"
        assert 1 <= int(answer["Retry-After"]) <= 60

    def test_that_comes_back_when_it_was_told_to_is_served(self, api: APIClient) -> None:
        with time_machine.travel("2026-06-01T12:00:00Z", tick=False) as time:
            statuses(api, "GET", JOBS, 3)
            time.shift(0.5)
            wait = int(api.get(JOBS)["Retry-After"])

            time.shift(wait - 1)
            early = api.get(JOBS)
            time.shift(1)
            then = api.get(JOBS)

        assert (early.status_code, then.status_code) == (429, 200)

    def test_may_submit_although_it_has_read_too_often(self, api: APIClient) -> None:
        assert statuses(api, "GET", JOBS, 4) == [200, 200, 200, 429]
        # No photo is sent: what counts is that the request was looked at.
        assert statuses(api, "POST", UPSCALE, 3) == [400, 400, 429]

    def test_is_counted_over_all_endpoints_and_all_its_people(self, api: APIClient, bob: User) -> None:
        browser = APIClient()
        browser.force_login(bob)

        assert statuses(api, "GET", f"{JOBS}/{uuid4()}", 2) == [404, 404]
        assert statuses(browser, "GET", "/api/v1/account", 2) == [200, 429]

    def test_does_not_slow_another(self, api: APIClient, charlie_key: str) -> None:
        statuses(api, "GET", JOBS, 4)

        assert asking_with(charlie_key).get(JOBS).status_code == 200

    def test_is_not_charged_for_what_somebody_asks_without_a_good_key(self, api: APIClient) -> None:
        statuses(asking_with("img_live_nonsense"), "GET", JOBS, 5)

        assert api.get(JOBS).status_code == 200


class TestALimiterOverRedis:
    def test_counts_in_this_process_while_redis_is_away(self) -> None:
        # Nothing listens there.
        limiter = Limiter("redis://127.0.0.1:9/0")

        waits = [limiter.hit(parse("2/minute"), "read", "alice") for _ in range(3)]

        assert waits[:2] == [0.0, 0.0]
        assert 1 <= waits[2] <= 60


class TestTheAddressOfRedis:
    def test_may_carry_the_authority_of_its_certificate(self) -> None:
        # As terraform/modules/redis writes it: the authority is no other's, and the certificate names no host.
        redis = _redis("rediss://:hidden@10.0.0.3:6378/0?ssl_ca_data=-----BEGIN%0ACERTIFICATE&ssl_check_hostname=false")

        pool = redis.storage.connection_pool  # type: ignore[attr-defined]
        assert pool.connection_kwargs["ssl_ca_data"] == "-----BEGIN\nCERTIFICATE"
        assert pool.connection_kwargs["ssl_check_hostname"] is False
        assert pool.connection_kwargs["password"] == "hidden"
