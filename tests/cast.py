"""The standing cast: alice, bob who shares her account, charlie who must see nothing of theirs."""

from datetime import UTC, datetime
from functools import cache

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts import services
from accounts.models import SCOPES, Account, User

PASSWORD = "correct horse battery"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def alice(db: None) -> User:
    account = Account.objects.create(name="Alice's Prints", created_at=LONG_AGO)
    return _person(account, "alice")


@pytest.fixture
def bob(alice: User) -> User:
    return _person(alice.account, "bob")


@pytest.fixture
def charlie(db: None) -> User:
    account = Account.objects.create(name="Charlie & Sons", created_at=LONG_AGO)
    return _person(account, "charlie")


@pytest.fixture
def olga(db: None) -> User:
    """The operator, who may do everything in the admin."""
    account = Account.objects.create(name="The House", created_at=LONG_AGO)
    olga = _person(account, "olga")
    olga.is_staff = olga.is_superuser = True
    olga.save()
    return olga


@pytest.fixture
def operator(olga: User) -> Client:
    """A browser in which olga has signed in."""
    client = Client()
    client.force_login(olga)
    return client


@pytest.fixture
def alice_key(alice: User) -> str:
    """The text of a live key of alice's account that may do everything."""
    return _key(alice)


@pytest.fixture
def charlie_key(charlie: User) -> str:
    return _key(charlie)


def _key(person: User) -> str:
    _, text = services.create_api_key(
        account=person.account, name="tests", scopes=SCOPES, mode="live", created_by=person, now=LONG_AGO
    )
    return text


def _person(account: Account, name: str) -> User:
    return User.objects.create(
        account=account, email=f"{name}@example.com", name=name, password=_hash(), joined_at=LONG_AGO
    )


@cache
def _hash() -> str:
    # The real hasher takes a third of a second: once is enough.
    return make_password(PASSWORD)
