import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from imagen_site.local.readiness import Readiness, ask, wait


class Site:
    """Answers /readyz with one after the other of `answers`, and the last one from then on."""

    def __init__(self, *answers: object) -> None:
        told = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = told.pop(0) if len(told) > 1 else told[0]
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def told(*, site: bool = True, **models: bool) -> dict[str, object]:
    return {"ready": site, "models": models}


@pytest.fixture
def started() -> Iterator[list[Site]]:
    sites: list[Site] = []
    yield sites
    for site in sites:
        site.close()


def serve(started: list[Site], *answers: object) -> str:
    started.append(Site(*answers))
    return started[-1].address


class TestAsking:
    def test_tells_the_site_and_every_model(self, started: list[Site]) -> None:
        address = serve(started, told(upscale=True, enhance=False))

        assert ask(address) == Readiness(site=True, models={"upscale": True, "enhance": False})

    def test_a_site_that_does_not_listen_is_not_ready(self, started: list[Site]) -> None:
        address = serve(started, told())
        started.pop().close()

        assert ask(address) == Readiness()

    def test_a_stranger_on_the_port_is_not_the_site(self, started: list[Site]) -> None:
        assert ask(serve(started, b"<html>hello</html>")) == Readiness()

    def test_does_not_go_through_a_proxy(self, started: list[Site], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

        assert ask(serve(started, told(upscale=True))).complete


class TestWaiting:
    def test_ends_when_the_last_model_is_loaded_and_says_what_it_waited_for(self, started: list[Site]) -> None:
        address = serve(started, told(upscale=False), told(upscale=False), told(upscale=True))
        said: list[str] = []

        seen = wait(address, seconds=30, going=lambda: True, say=said.append)

        assert seen.complete
        assert said[0] == "site: starting…"
        assert said[1].startswith("site: answers")
        assert said[2] == "model server: loading…"

    def test_names_the_models_that_are_missing_when_others_are_there(self, started: list[Site]) -> None:
        address = serve(started, told(upscale=True, enhance=False))
        said: list[str] = []

        seen = wait(address, seconds=0.5, going=lambda: True, say=said.append)

        assert seen.missing == "models enhance"
        assert "models enhance: loading…" in said

    def test_gives_up_when_time_is_over(self, started: list[Site]) -> None:
        address = serve(started, told(upscale=False))

        assert not wait(address, seconds=0.3, going=lambda: True, say=lambda _: None).complete

    def test_gives_a_site_that_starts_slowly_its_own_time_however_little_the_models_have(
        self, started: list[Site]
    ) -> None:
        address = serve(started, told(site=False), told(site=False), told(upscale=False))

        seen = wait(address, seconds=30, models_seconds=0.1, going=lambda: True, say=lambda _: None)

        assert seen.site
        assert not seen.complete

    def test_does_not_take_one_late_answer_for_the_end_of_the_site(self, started: list[Site]) -> None:
        address = serve(started, told(upscale=False), b"late")

        seen = wait(address, seconds=30, models_seconds=0.6, going=lambda: True, say=lambda _: None)

        assert seen.site

    def test_ends_at_once_when_nothing_runs_any_more(self) -> None:
        assert wait("http://127.0.0.1:9", seconds=60, going=lambda: False, say=lambda _: None) == Readiness()
