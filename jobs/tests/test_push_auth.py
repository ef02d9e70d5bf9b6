from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

import pytest

from jobs.errors import InvalidPushToken, Unavailable
from jobs.push_auth import Certificates, OidcTokens, SharedToken
from jobs.tests.google import AUDIENCE, PUSHER, CertificatesPage, Key


@cache
def google() -> Key:
    return Key()


@cache
def stranger() -> Key:
    return Key()


@pytest.fixture
def page() -> CertificatesPage:
    return CertificatesPage([google()])


@pytest.fixture
def tokens(page: CertificatesPage) -> OidcTokens:
    return tokens_of(page)


def tokens_of(page: CertificatesPage) -> OidcTokens:
    certificates = Certificates(lambda: page, clock=page.clock)
    return OidcTokens(audience=AUDIENCE, accounts=[PUSHER], certificates=certificates)


def check(tokens: OidcTokens, token: str) -> None:
    tokens.check(authorization=f"Bearer {token}", token="")


def forged(header: Any, claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, "c2lnbmF0dXJl"])


class TestATokenOfGoogle:
    @pytest.mark.parametrize("issuer", ["https://accounts.google.com", "accounts.google.com"])
    def test_passes_when_it_is_made_out_to_us(self, tokens: OidcTokens, issuer: str) -> None:
        check(tokens, google().token(iss=issuer))

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "https://other.example"},
            {"aud": None},
            {"aud": [AUDIENCE, "https://other.example"]},
            {"iss": "https://accounts.example.com"},
            {"iss": None},
            {"iss": ["accounts.google.com"]},
            {"email": "other@prints.iam.gserviceaccount.com"},
            {"email": None},
            {"email": {"is": PUSHER}},
            {"email_verified": False},
            {"email_verified": None},
            {"email_verified": "true"},
            {"exp": 1_700_000_000},
            {"exp": None},
            {"exp": "tomorrow"},
            {"iat": 9_000_000_000, "exp": 9_000_003_600},
        ],
        ids=str,
    )
    def test_is_refused_for_a_single_wrong_claim(self, tokens: OidcTokens, claims: dict[str, Any]) -> None:
        token = google().token(**claims)

        with pytest.raises(InvalidPushToken):
            check(tokens, token)


class TestAForgedToken:
    def test_signed_by_somebody_else_under_the_name_of_googles_key_is_refused(self, tokens: OidcTokens) -> None:
        with pytest.raises(InvalidPushToken):
            check(tokens, stranger().token())

    @pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "RS512", None, 7, ["RS256"]], ids=str)
    def test_may_not_choose_its_algorithm(self, tokens: OidcTokens, algorithm: Any) -> None:
        claims = {"iss": "accounts.google.com", "aud": AUDIENCE, "email": PUSHER, "email_verified": True}
        lasting = {"iat": int(time.time()), "exp": int(time.time()) + 60}

        with pytest.raises(InvalidPushToken):
            check(tokens, forged({"alg": algorithm, "kid": "key-1"}, {**claims, **lasting}))

    @pytest.mark.parametrize(
        "token",
        ["", ".", "..", "a.b.c", "é.é.é", "x" * 9000, forged([], []), forged(7, 7), forged({"kid": ["key-1"]}, {})],
        ids=lambda token: token[:12],
    )
    def test_of_no_shape_at_all_is_refused(self, tokens: OidcTokens, token: str) -> None:
        with pytest.raises(InvalidPushToken):
            check(tokens, token)

    def test_is_no_token_under_another_scheme(self, tokens: OidcTokens) -> None:
        with pytest.raises(InvalidPushToken):
            tokens.check(authorization=f"Basic {google().token()}", token="")


class TestTheCertificates:
    def test_are_fetched_once_for_many_pushes(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        for _ in range(5):
            check(tokens, google().token())

        assert page.asked == 1

    def test_are_fetched_again_when_they_are_old(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        check(tokens, google().token())
        page.now += 601
        check(tokens, google().token())

        assert page.asked == 2

    def test_are_fetched_for_a_new_key_at_once(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        check(tokens, google().token())
        page.keys.append(new := Key("key-2"))
        page.now += 61

        check(tokens, new.token())

        assert page.asked == 2

    def test_are_not_fetched_for_every_forged_key(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        check(tokens, google().token())
        for number in range(20):
            page.now += 1
            with pytest.raises(InvalidPushToken):
                check(tokens, forged({"alg": "RS256", "kid": f"forged-{number}"}, {}))

        assert page.asked == 1

    def test_serve_on_while_google_is_away_for_an_hour(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        check(tokens, google().token())
        page.away = True
        page.now += 3600

        check(tokens, google().token())

    def test_that_cannot_be_had_make_the_push_come_again(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        page.away = True
        with pytest.raises(Unavailable):
            check(tokens, google().token())

        page.away = False
        page.now += 1
        check(tokens, google().token())

    def test_that_are_a_day_old_are_trusted_no_more(self, page: CertificatesPage, tokens: OidcTokens) -> None:
        check(tokens, google().token())
        page.away = True
        page.now += 25 * 3600

        with pytest.raises(Unavailable):
            check(tokens, google().token())


class TestTheTokenInTheAddress:
    def test_passes_when_it_is_ours_and_nothing_else_does(self) -> None:
        ours = SharedToken("s" * 40)

        ours.check(authorization="", token="s" * 40)
        for wrong in ("", "s" * 39, "é"):
            with pytest.raises(InvalidPushToken):
                ours.check(authorization="Bearer " + "s" * 40, token=wrong)

    def test_that_is_empty_lets_nobody_pass(self) -> None:
        with pytest.raises(InvalidPushToken):
            SharedToken("").check(authorization="", token="")
