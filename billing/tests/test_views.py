from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.models import User
from billing import services

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CREDITS = "/account/credits/"


@pytest.fixture
def _credits_moved(alice: User) -> None:
    services.top_up(account=alice.account, credits=10, reference="payment-1", now=NOW, note="Bought <10> credits")
    services.hold(account=alice.account, credits=4, reference="job-1", now=NOW)


@pytest.mark.usefixtures("_credits_moved")
class TestCreditPage:
    def test_shows_the_balance_and_the_last_lines(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        page = client.get(CREDITS).content.decode()

        assert '<strong id="credits-available">6</strong> to spend' in page
        assert "4 held for jobs" in page
        assert "job-1" in page
        assert "Bought &lt;10&gt; credits" in page

    def test_shows_nothing_of_it_to_a_stranger(self, client: Client, charlie: User) -> None:
        client.force_login(charlie)

        page = client.get(CREDITS).content.decode()

        assert "job-1" not in page
        assert "Nothing has moved yet" in page

    def test_asks_who_it_is(self, client: Client) -> None:
        assert client.get(CREDITS)["Location"] == f"/accounts/login/?next={CREDITS}"

    def test_cannot_be_written_to(self, client: Client, alice: User) -> None:
        client.force_login(alice)

        assert client.post(CREDITS).status_code == 405
