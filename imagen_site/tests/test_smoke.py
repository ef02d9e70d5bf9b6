"""The smoke test against a site that is broken in one way; tests/flows/test_smoke_test.py has it on the real one."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from PIL import Image

from imagen_site.smoke.__main__ import PHOTO, main
from imagen_site.smoke.journey import Journey
from imagen_site.smoke.site import Site, SmokeFailure
from jobs.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator


def png(size: tuple[int, int] = (256, 256), *, flat: bool = False) -> bytes:
    file = io.BytesIO()
    picture = Image.new("RGB", size) if flat else Image.radial_gradient("L").resize(size)
    picture.save(file, "PNG")
    return file.getvalue()


ENGINE = {"name": "xdog", "version": "1", "weights_sha256": ""}


@dataclass
class Answers:
    """What a site says to a smoke test of `style_comic`: by default that all is well."""

    unwell: str = ""
    job_ids: list[str] = field(default_factory=lambda: ["one"])
    status: str = "completed"
    picture: bytes = field(default_factory=png)
    told_bytes: int = 0
    charged: int = 2
    held: int = 0
    not_json: bool = False
    wanted_header: tuple[str, str] | None = None

    def submitted(self) -> dict[str, Any]:
        job_id = self.job_ids.pop(0) if len(self.job_ids) > 1 else self.job_ids[0]
        return {"job_id": job_id, "credits": 2, "operation": "style_comic"}

    def job(self) -> dict[str, Any]:
        with Image.open(io.BytesIO(self.picture)) as picture:
            width, height = picture.size
        output = {"url": "/result", "width": width, "height": height, "bytes": self.told_bytes or len(self.picture)}
        return {
            **self.submitted(),
            "status": self.status,
            "stage": "inferring",
            "params": {},
            "output": output,
            "engine": ENGINE,
        }


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[Answers]
    spent: ClassVar[list[int]]

    def do_GET(self) -> None:
        wanted = self.answers.wanted_header
        if self.path == self.answers.unwell or (wanted and self.headers.get(wanted[0]) != wanted[1]):
            self._send(b"{}", status=503)
        elif self.path == "/result":
            self._send(self.answers.picture)
        elif self.path.startswith("/api/v1/jobs/"):
            self._json(self.answers.job())
        else:
            credits_ = {"available": 100 - sum(self.spent), "held": self.answers.held if self.spent else 0}
            self._json({"credits": credits_})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if not self.spent:
            self.spent.append(self.answers.charged)
        self._json(self.answers.submitted(), status=202)

    def _json(self, body: dict[str, Any], *, status: int = 200) -> None:
        import json

        self._send(b"<html>" if self.answers.not_json else json.dumps(body).encode(), status=status)

    def _send(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def url(answers: Answers) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"answers": answers, "spent": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def journey(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journey]:
    monkeypatch.setattr("imagen_site.smoke.journey._PAUSE_SECONDS", 0.01)
    site = Site(url, key="img_test_key")
    yield Journey(site, PHOTO.read_bytes(), patience=0.1, settling=0.1, say=lambda _line: None)
    site.close()


class TestTheJourney:
    def test_is_content_with_a_good_site(self, journey: Journey) -> None:
        journey.make(["style_comic"])

    def test_tells_which_engine_made_the_picture(self, journey: Journey) -> None:
        told: list[str] = []

        replace(journey, say=told.append).make(["style_comic"])

        assert "style_comic: 256 x 256, made by xdog" in told

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_begins_with_the_sites_health(self, journey: Journey, answers: Answers, path: str) -> None:
        answers.unwell = path

        with pytest.raises(SmokeFailure, match=f"{path} cannot be had: status 503"):
            journey.make(["style_comic"])

    def test_refuses_two_jobs_of_one_request(self, journey: Journey, answers: Answers) -> None:
        answers.job_ids = ["one", "two"]

        with pytest.raises(SmokeFailure, match="repeated, made two jobs"):
            journey.make(["style_comic"])

    @pytest.mark.parametrize(("status", "said"), [("failed", "has failed"), ("processing", "is still processing")])
    def test_wants_the_job_to_complete(self, journey: Journey, answers: Answers, status: str, said: str) -> None:
        answers.status = status

        with pytest.raises(SmokeFailure, match=said):
            journey.make(["style_comic"])

    @pytest.mark.parametrize(
        ("picture", "said"),
        [
            (png(flat=True), "is of one colour"),
            (png((255, 256)), "has 255 x 256 pixels"),
            (png()[:-400], "no whole PNG"),
        ],
        ids=["flat", "small", "cut"],
    )
    def test_looks_at_the_picture(self, journey: Journey, answers: Answers, picture: bytes, said: str) -> None:
        answers.picture = picture

        with pytest.raises(SmokeFailure, match=said):
            journey.make(["style_comic"])

    def test_holds_the_picture_against_what_the_job_tells(self, journey: Journey, answers: Answers) -> None:
        answers.told_bytes = 1

        with pytest.raises(SmokeFailure, match="not the one that its job tells of"):
            journey.make(["style_comic"])

    def test_refuses_a_double_charge(self, journey: Journey, answers: Answers) -> None:
        answers.charged = 4

        with pytest.raises(SmokeFailure, match="cost 2 credits, and 4 are gone"):
            journey.make(["style_comic"])

    @pytest.mark.parametrize("state", [{"held": 2}, {"charged": 0}])
    def test_wants_the_credits_settled(self, journey: Journey, answers: Answers, state: dict[str, int]) -> None:
        vars(answers).update(state)

        with pytest.raises(SmokeFailure, match="are not settled"):
            journey.make(["style_comic"])

    def test_reads_no_page_as_an_answer(self, journey: Journey, answers: Answers) -> None:
        answers.not_json = True

        with pytest.raises(SmokeFailure, match="is no JSON"):
            journey.make(["style_comic"])


class TestTheCommand:
    def test_says_in_a_sentence_what_is_wrong(
        self, url: str, answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers.unwell = "/readyz"
        monkeypatch.setenv("SMOKE_API_KEY", "img_test_key")

        assert main([url]) == 1
        assert "The smoke test failed. /readyz" in capsys.readouterr().err

    def test_sends_a_header_with_every_request(
        self, url: str, answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers.wanted_header = ("X-Imagen-Revision", "candidate")
        monkeypatch.setenv("SMOKE_API_KEY", "img_test_key")
        command = [url, "--operations", "style_comic"]

        assert main([*command, "--header", "X-Imagen-Revision=candidate"]) == 0
        assert main(command) == 1

    def test_looks_at_the_health_alone_without_a_key_and_says_so(
        self, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("SMOKE_API_KEY", raising=False)

        assert main([url, "--health-alone"]) == 0
        assert "no photo was sent" in capsys.readouterr().out

    def test_asks_for_its_key(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.delenv("SMOKE_API_KEY", raising=False)

        assert main(["http://127.0.0.1:1"]) == 1
        assert "SMOKE_API_KEY is not set" in capsys.readouterr().err

    def test_knows_no_other_operation(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["http://127.0.0.1:1", "--operations", "upscale,sharpen"])

        assert f"'sharpen' is none of {', '.join(OPERATIONS)}" in capsys.readouterr().err
