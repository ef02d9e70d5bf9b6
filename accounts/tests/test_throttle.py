from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import RequestFactory
from pytest_django import Settings

from accounts.errors import TooManyAttempts
from accounts.throttle import SignInThrottle, client_address

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ALICE = {"email": "alice@example.com", "address": "203.0.113.7"}


@pytest.fixture
def throttle() -> SignInThrottle:
    return SignInThrottle(failures=3, window_seconds=60)


class TestSignInThrottle:
    def test_refuses_after_three_failures_until_the_window_has_passed(self, throttle: SignInThrottle) -> None:
        with time_machine.travel(NOW, tick=False) as clock:
            for _ in range(3):
                throttle.begin(**ALICE)

            with pytest.raises(TooManyAttempts, match="60 seconds") as refusal:
                throttle.begin(**ALICE)
            clock.shift(timedelta(seconds=refusal.value.retry_after + 1))

            throttle.begin(**ALICE)

    def test_does_not_lengthen_the_wait_for_a_refused_attempt(self, throttle: SignInThrottle) -> None:
        with time_machine.travel(NOW, tick=False) as clock:
            for _ in range(3):
                throttle.begin(**ALICE)
            clock.shift(timedelta(seconds=30))

            for _ in range(5):
                with pytest.raises(TooManyAttempts) as refusal:
                    throttle.begin(**ALICE)

            assert refusal.value.retry_after == 30

    def test_forgets_failures_after_a_success(self, throttle: SignInThrottle) -> None:
        for _ in range(5):
            throttle.begin(**ALICE)
            throttle.succeed(**ALICE)

    def test_counts_one_person_whatever_the_case(self, throttle: SignInThrottle) -> None:
        for email in ("alice@example.com", "ALICE@example.com", " Alice@Example.com"):
            throttle.begin(email=email, address=ALICE["address"])

        with pytest.raises(TooManyAttempts):
            throttle.begin(**ALICE)

    def test_does_not_lock_out_others_or_the_owner_elsewhere(self, throttle: SignInThrottle) -> None:
        for _ in range(3):
            throttle.begin(**ALICE)

        throttle.begin(email="bob@example.com", address=ALICE["address"])
        throttle.begin(email=ALICE["email"], address="198.51.100.2")


class TestClientAddress:
    @pytest.mark.parametrize(
        ("trusted", "forwarded", "expected"),
        [
            (0, "198.51.100.2", "127.0.0.1"),
            (1, "6.6.6.6, 198.51.100.2", "198.51.100.2"),
            (2, "6.6.6.6, 198.51.100.2, 10.0.0.1", "198.51.100.2"),
            (2, "198.51.100.2", "127.0.0.1"),
            (1, "", "127.0.0.1"),
        ],
    )
    def test_believes_only_our_own_proxies(
        self, settings: Settings, trusted: int, forwarded: str, expected: str
    ) -> None:
        settings.IMAGEN = _Config(trusted_proxies=trusted)

        assert client_address(RequestFactory().get("/", headers={"x-forwarded-for": forwarded})) == expected


class _Config:
    def __init__(self, trusted_proxies: int) -> None:
        self.trusted_proxies = trusted_proxies
