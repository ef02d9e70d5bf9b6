"""The main engines inside the real Triton: their own loading code, on tiny random weights that the tests build."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceCancelled, InferenceRefused, InferenceTimeout
from inference.triton_client import TritonInferenceClient
from tests.triton import photographs
from tests.triton_fixtures import PYTHON
from triton_models.engines import OPERATIONS
from triton_models.local_triton import LocalTriton
from triton_models.server_wheel import PROJECT_ROOT, LocalServerError
from triton_models.weights import read_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Five processes load torch at once, and three of them diffusers.
START_SECONDS = 180
pytestmark = [
    pytest.mark.triton,
    # Of their own: they start servers of their own, and need not wait for those who share one.
    pytest.mark.xdist_group("engines"),
    pytest.mark.timeout(2 * START_SECONDS + 120),
]

SIDE = 64
AT_ONCE = 4


@dataclass(frozen=True)
class Main:
    """A main engine, what a request must say for it to be quick, and whether requests share its passes here."""

    model: str
    name: str
    asked: Mapping[str, object] = field(default_factory=dict)
    shares: bool = True
    scale: int = 1

    def __str__(self) -> str:
        return self.name


MAIN = (
    Main("upscale", "realesrgan-x4plus", scale=4),
    # On a processor a second picture in its pass takes as long as the first.
    Main("background_remove", "isnet", shares=False),
    Main("upscale", "sd-x4-upscaler", {"prompt": "a cat", "steps": 2}, scale=4),
    Main("enhance", "sdxl-refiner", {"strength": 0.5, "steps": 4}),
    Main("style_comic", "ghibli-diffusion", {"strength": 0.5, "steps": 4}),
    Main("style_aged", "stable-diffusion-2-1", {"strength": 0.5, "steps": 4}),
)
EVERY = pytest.mark.parametrize("main", MAIN, ids=str)
SHARING = pytest.mark.parametrize("main", [main for main in MAIN if main.shares], ids=str)


def build(folder: Path, *options: str) -> Path:
    command = [str(PYTHON), "-m", "triton_models.tests.tiny_volume", str(folder), *options]
    subprocess.run(command, cwd=PROJECT_ROOT, check=True, timeout=START_SECONDS)
    return folder


def server_of(volume: Path, log: Path, *models: str, **environment: str) -> LocalTriton:
    """Return a server of the named models, or of all that have a main engine here; it has not been started."""
    told = {"IMAGEN_MODELS_DIR": str(volume), "IMAGEN_WEIGHTS_LOCK": str(volume / "weights.lock")}
    # With a batch, as on a card, and a thread for each request of a test.
    told |= {"IMAGEN_ENGINE_CONCURRENCY": str(AT_ONCE), "IMAGEN_UPSCALE_BATCH": str(AT_ONCE)}
    # Tiny networks at a thousand pixels would still take seconds.
    told |= {"IMAGEN_DIFFUSION_SIDE": "64"}
    # And a tiny x4plus makes more than two megapixels in time.
    told |= {"IMAGEN_UPSCALE_CPU_MEGAPIXELS": "50"}
    models = models or tuple({main.model for main in MAIN})
    return LocalTriton(python=PYTHON, log=log, models=sorted(models), environment=told | environment)


def start(server: LocalTriton) -> None:
    """Start it; a start that hangs is killed and tried once more, as in a pod (docs/gotchas.md, "hung in its start")."""
    try:
        server.start(timeout=START_SECONDS)
    except LocalServerError as error:
        if "not ready" not in str(error):
            raise
        server.start(timeout=START_SECONDS)


@pytest.fixture(scope="module")
def volume(triton_server: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model volume of tiny weights. Asks for the common server to learn whether there can be one here."""
    return build(tmp_path_factory.mktemp("tiny") / "models")


@pytest.fixture(scope="module")
def server(volume: Path) -> Iterator[LocalTriton]:
    # Required, so that auto takes them although there is no card, and the self-test runs them.
    names = ",".join(main.name for main in MAIN)
    server = server_of(volume, volume.parent / "triton.log", IMAGEN_REQUIRE_ENGINES=names)
    start(server)
    yield server
    server.stop()


@pytest.fixture
def client(server: LocalTriton) -> Iterator[TritonInferenceClient]:
    client = TritonInferenceClient(server.grpc_url)
    yield client
    client.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        yield pool


def photo(turned: int = 0, side: int = SIDE) -> bytes:
    """A square photograph, as PNG so that what is compared was not compressed; turned: by how many quarters."""
    return photographs.png(photographs.cat().resize((side, side)).rotate(90 * turned))


def request_for(main: Main, image: bytes, **options: object) -> InferenceRequest:
    return InferenceRequest(
        model=main.model, image=image, request_id="test", options={"engine": main.name, **options}, seed=7, **main.asked
    )


def infer(client: TritonInferenceClient, request: InferenceRequest, *, timeout: float = 60) -> InferenceResult:
    return client.infer(request, timeout=timeout, on_progress=lambda _: None, cancellation=Cancellation())


def pixels(result: InferenceResult) -> np.ndarray:
    return np.asarray(photographs.opened(result.image).convert("RGBA")).astype(int)


def locked_digest(volume: Path, main: Main) -> str:
    (entry,) = next(spec.weights for spec in OPERATIONS[main.model].engines if spec.name == main.name)
    return read_lock(volume / "weights.lock")[entry].weights_sha256


@EVERY
class TestEveryMainEngine:
    def test_is_taken_by_its_name_and_says_how_the_result_was_made(
        self, main: Main, volume: Path, client: TritonInferenceClient
    ) -> None:
        result = infer(client, request_for(main, photo(), format="png"))

        engine = result.info["engine"]
        assert (engine["name"], engine["weights_sha256"]) == (main.name, locked_digest(volume, main))
        assert result.info["device"] == {"kind": "cpu", "name": "CPU", "precision": "fp32"}
        assert result.info["batch_size"] == 1
        assert result.info["seconds"].keys() >= {"decode", "infer", "encode"}
        assert result.info["parameters"]["seed"] == 7
        assert photographs.opened(result.image).size == (main.scale * SIDE, main.scale * SIDE)

    def test_is_what_auto_takes_and_has_the_light_one_beside_it(
        self, main: Main, client: TritonInferenceClient
    ) -> None:
        auto = infer(client, request_for(main, photo(), engine="auto"))
        light = infer(client, request_for(main, photo(), engine="light"))

        assert auto.info["engine"]["name"] == main.name
        assert light.info["engine"]["name"] == OPERATIONS[main.model].light.name

    def test_gives_the_same_bytes_again_whoever_else_is_there(
        self, main: Main, client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        alone = infer(client, request_for(main, photo(), reproducible=True))
        others = [threads.submit(infer, client, request_for(main, photo(turned))) for turned in (1, 2)]
        again = infer(client, request_for(main, photo(), reproducible=True))

        assert again.image == alone.image
        assert again.info["batch_size"] == 1
        assert all(other.result() for other in others)

    def test_leaves_its_neighbours_alone_when_a_request_is_bad_or_cancelled(
        self, main: Main, client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        expected = pixels(infer(client, request_for(main, photo(), format="png")))
        cancellation = Cancellation()

        def cancelled() -> InferenceResult:
            def cancel(_: Progress) -> None:
                cancellation.cancel()

            request = request_for(main, photo(1, side=512))
            return client.infer(request, timeout=60, on_progress=cancel, cancellation=cancellation)

        bad = threads.submit(infer, client, request_for(main, photo()[:400]))
        gone = threads.submit(cancelled)
        good = [threads.submit(infer, client, request_for(main, photo(), format="png")) for _ in range(2)]

        assert all(np.abs(pixels(call.result()) - expected).max() <= 1 for call in good)
        assert isinstance(bad.exception(), InferenceRefused)
        assert isinstance(gone.exception(), InferenceCancelled)


@SHARING
class TestClientsAtOnce:
    def test_share_passes_and_get_what_each_would_have_got_alone(
        self, main: Main, client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        requests = [request_for(main, photo(turned), format="png") for turned in range(AT_ONCE)]
        alone = [infer(client, request) for request in requests]
        together = threads.map(lambda request: infer(client, request), requests)

        results = list(together)
        assert max(int(str(result.info["batch_size"])) for result in results) > 1
        for result, by_itself in zip(results, alone, strict=True):
            assert np.abs(pixels(result) - pixels(by_itself)).max() <= 1


class TestAnImpossibleWish:
    @pytest.mark.parametrize(
        ("asked", "code", "words"),
        [
            ({"strength": math.nan}, "invalid_parameter", "strength must be a number from 0 to 1, not nan"),
            ({"strength": 0.1, "steps": 2}, "invalid_parameter", "strength 0.1 .* steps"),
            ({"prompt": "a" * 1001}, "invalid_parameter", "prompt must be a text of at most 1000 characters"),
        ],
    )
    def test_is_refused_by_the_name_of_its_parameter(
        self, asked: dict[str, object], code: str, words: str, client: TritonInferenceClient
    ) -> None:
        request = InferenceRequest(
            model="enhance", image=photo(), request_id="test", options={"engine": "sdxl-refiner"}, **asked
        )

        with pytest.raises(InferenceRefused, match=words) as refused:
            infer(client, request)

        assert refused.value.code == code

    @pytest.mark.parametrize(("size", "code"), [((1, 1), "image_too_small"), ((20_000, 1), "image_too_small")])
    def test_is_a_picture_too_small_to_be_one(
        self, size: tuple[int, int], code: str, client: TritonInferenceClient
    ) -> None:
        speck = photographs.png(photographs.cat().resize(size))

        with pytest.raises(InferenceRefused) as refused:
            infer(client, request_for(MAIN[0], speck))

        assert refused.value.code == code


class TestADeadline:
    def test_frees_the_model(self, client: TritonInferenceClient, threads: ThreadPoolExecutor) -> None:
        upscaler = MAIN[0]
        large = request_for(upscaler, photo(side=1800))
        begun = threading.Barrier(AT_ONCE + 1)

        def late() -> InferenceResult:
            begun.wait(10)
            return infer(client, large, timeout=2)

        calls: list[Future[InferenceResult]] = [threads.submit(late) for _ in range(AT_ONCE)]
        begun.wait(10)

        assert {type(call.exception()) for call in calls} == {InferenceTimeout}
        # All threads of the model had one; together they would have had a minute to do.
        assert infer(client, request_for(upscaler, photo()), timeout=10).image


class TestTheVolumeOfTheseTests:
    def test_has_every_engine_that_needs_no_licence_accepted(self) -> None:
        main = {spec.name for operation in OPERATIONS.values() for spec in operation.engines if not spec.light}

        assert {engine.name for engine in MAIN} == main - {"rmbg-1.4"}


class TestTheStart:
    def test_tells_in_a_line_what_its_self_test_took(self, server: LocalTriton) -> None:
        for main in MAIN:
            assert re.search(rf"self-test of {main.model} passed: .*{main.name} \d", server.log_text())

    def test_is_refused_with_a_damaged_file_of_weights_which_is_named(self, volume: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(volume, tmp_path / "models", symlinks=True)
        damaged = copy / "realesrgan-x4plus/RealESRGAN_x4plus.pth"
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)

        assert f"{damaged} is not the file that weights.lock names" in self.refusal(copy, tmp_path, "upscale")

    def test_is_refused_without_a_required_engine_whose_file_is_named(self, volume: Path, tmp_path: Path) -> None:
        copy = shutil.copytree(volume, tmp_path / "models", symlinks=True)
        missing = copy / "isnet-general-use/isnet-general-use.onnx"
        missing.unlink()

        log = self.refusal(copy, tmp_path, "background_remove", IMAGEN_REQUIRE_ENGINES="isnet")

        assert f"{missing} is missing" in log

    def test_is_refused_when_an_engine_fails_its_self_test(self, volume: Path, tmp_path: Path) -> None:
        broken = build(tmp_path / "models", "--broken")

        log = self.refusal(broken, tmp_path, "background_remove", IMAGEN_REQUIRE_ENGINES="isnet")

        assert "The engine isnet of background_remove fails its self-test: The network's answer has values" in log

    @staticmethod
    def refusal(volume: Path, folder: Path, model: str, **environment: str) -> str:
        """Start a server of one model that should not start; return what its log says."""
        server = server_of(volume, folder / "triton.log", model, **environment)

        with pytest.raises(LocalServerError, match="Triton ended while it started"):
            server.start()
        return server.log_text()
