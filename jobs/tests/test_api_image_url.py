"""Naming a photo by its address to the API; how it is fetched is in test_fetch.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobs.errors import ImageUrlUnreachable
from jobs.tests.asking import UPSCALE, refused
from jobs.tests.conftest import World, png

if TYPE_CHECKING:
    from rest_framework.test import APIClient

    from accounts.models import Account


class TestSubmitByAddress:
    def post(self, api: APIClient, body: Any) -> Any:
        return api.post(UPSCALE, body, format="json")

    def test_fetches_and_accepts_the_photo(
        self, api: APIClient, adapted: World, rich: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(adapted.fetcher), "fetch", lambda _self, _url, limits: (png(), "beach.png"))

        answer = self.post(api, {"image_url": "https://photos.example/beach.png", "scale": 2})

        assert answer.status_code == 202
        assert (answer.json()["input"]["filename"], answer.json()["params"]["scale"]) == ("beach.png", 2)

    @pytest.mark.parametrize("body", [{}, {"scale": 2}, {"image_url": None}, {"image_url": ""}])
    def test_asks_for_an_address(self, api: APIClient, nothing_happened: None, body: dict[str, Any]) -> None:
        refused(self.post(api, body), 400, "image_missing")

    @pytest.mark.parametrize("url", [7, ["https://a.example/b.png"], "b.png", "http://127.0.0.1/b.png", "http://[::1"])
    def test_refuses_an_address_that_is_none_of_the_public(
        self, api: APIClient, nothing_happened: None, url: Any
    ) -> None:
        refused(self.post(api, {"image_url": url}), 422, "invalid_image_url")

    def test_says_when_nothing_comes_from_there(
        self, api: APIClient, nothing_happened: None, adapted: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise ImageUrlUnreachable("Nothing could be fetched from photos.example.")

        monkeypatch.setattr(type(adapted.fetcher), "fetch", fail)

        refused(self.post(api, {"image_url": "https://photos.example/b.png"}), 422, "image_url_unreachable")

    def test_names_the_parameter_that_is_wrong(self, api: APIClient, nothing_happened: None) -> None:
        answer = self.post(api, {"image_url": "https://a.example/b.png", "scale": 3, "colour": "red"})

        refused(answer, 422, "invalid_parameters")
        assert answer.json()["errors"].keys() == {"scale", "colour"}

    @pytest.mark.parametrize("body", [b"[]", b"7", b"null", b"{", b"\xff"])
    def test_refuses_json_that_is_no_object(self, api: APIClient, nothing_happened: None, body: bytes) -> None:
        refused(api.generic("POST", UPSCALE, body, "application/json"), 400, "malformed")

    def test_refuses_json_that_would_fill_the_memory_or_the_stack(self, api: APIClient, nothing_happened: None) -> None:
        refused(api.generic("POST", UPSCALE, b"[" * 100_000, "application/json"), 400, "malformed")
        refused(api.generic("POST", UPSCALE, b"[" * 1_000_000, "application/json"), 413, "form_too_large")
