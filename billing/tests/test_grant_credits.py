from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from billing import services
from billing.models import LedgerEntry

if TYPE_CHECKING:
    from accounts.models import User


def grant(*arguments: str, **options: Any) -> None:
    call_command("grant_credits", *arguments, **{"reason": "A gift", **options})


class TestGrantCredits:
    def test_gives_them_with_the_reason_in_the_ledger(self, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
        grant("alice@example.com", "500", reason="Sorry for Tuesday")

        (line,) = services.statement(alice.account)
        assert (line.kind, line.change, line.note) == ("grant", 500, "Sorry for Tuesday")
        assert "500 available" in capsys.readouterr().out

    @pytest.mark.parametrize("spelling", [" Alice@Example.com ", "alice's prints", "id"])
    def test_finds_the_account_by_address_name_or_id(self, alice: User, spelling: str) -> None:
        grant(str(alice.account.pk) if spelling == "id" else spelling, "5")

        assert services.balance(alice.account).available == 5

    def test_gives_them_once_for_a_reference(self, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(2):
            grant("alice@example.com", "500", reference="invoice-7")

        assert services.balance(alice.account).available == 500
        assert "Nothing was changed" in capsys.readouterr().out

    def test_gives_them_each_time_without_a_reference(self, alice: User) -> None:
        for _ in range(2):
            grant("alice@example.com", "500")

        assert services.balance(alice.account).available == 1000

    def test_refuses_a_reference_that_gave_something_else(self, alice: User, charlie: User) -> None:
        grant("alice@example.com", "500", reference="invoice-7")

        with pytest.raises(CommandError, match="another amount"):
            grant("alice@example.com", "501", reference="invoice-7")
        with pytest.raises(CommandError, match="another account"):
            grant("charlie@example.com", "500", reference="invoice-7")

        assert LedgerEntry.objects.count() == 1

    @pytest.mark.parametrize("amount", ["0", "-5", "1.5", "many", "10000001"])
    def test_refuses_an_amount_that_is_none(self, alice: User, amount: str) -> None:
        with pytest.raises(CommandError, match="amount"):
            grant("--", "alice@example.com", amount)

        assert not LedgerEntry.objects.exists()

    def test_says_who_is_not_there(self, alice: User) -> None:
        with pytest.raises(CommandError, match=r"no account .*'nobody@example\.com'"):
            grant("nobody@example.com", "5")

    def test_guesses_no_account_among_namesakes(self, alice: User, charlie: User) -> None:
        charlie.account.name = "Alice's prints"
        charlie.account.save()

        with pytest.raises(CommandError, match=str(charlie.account.pk)):
            grant("Alice's Prints", "5")

    def test_changes_nothing_in_a_dry_run(self, alice: User, capsys: pytest.CaptureFixture[str]) -> None:
        grant("alice@example.com", "500", "--dry-run")

        assert not LedgerEntry.objects.exists()
        assert "Would grant 500 credits to Alice's Prints" in capsys.readouterr().out
