import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import Account, User


class TestUser:
    def test_is_the_sites_user_model(self) -> None:
        assert get_user_model() is User

    def test_is_found_whatever_the_case_of_the_address(self, alice: User) -> None:
        assert User.objects.get_by_natural_key(" ALICE@Example.com ") == alice

    def test_cannot_be_created_twice_in_another_case(self, alice: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.create_user("Alice@EXAMPLE.com", account=alice.account)

    def test_cannot_be_stored_with_capitals_even_past_the_manager(self, alice: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.create(email="Dora@example.com", account=alice.account)

    @pytest.mark.parametrize("email", ["", None])
    def test_needs_an_address(self, alice: User, email: str | None) -> None:
        with pytest.raises(ValueError, match="e-mail"):
            User.objects.create_user(email, account=alice.account)

    def test_needs_an_account(self) -> None:
        with pytest.raises(ValueError, match="account"):
            User.objects.create_user("dora@example.com")

    def test_without_a_password_cannot_sign_in(self, alice: User) -> None:
        User.objects.create_user("dora@example.com", account=alice.account)

        assert authenticate(username="dora@example.com", password="") is None

    def test_of_the_admin_is_made_by_the_command_with_an_account_of_its_own(
        self, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery")

        call_command("createsuperuser", interactive=False, email="Root@example.com", verbosity=0)

        root = User.objects.get()
        assert (root.email, root.is_staff, root.is_superuser) == ("root@example.com", True, True)
        assert root.account == Account.objects.get()
