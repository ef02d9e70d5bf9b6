"""The models behind a real Triton, asked through the client that the workers use."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inference import tensors
from inference.client import Cancellation, InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceCancelled, InferenceError, InferenceRefused, InferenceTimeout
from inference.triton_client import TritonInferenceClient
from jobs.provenance import PARTS, identity, provenance
from tests.triton import photographs
from triton_models.engines import OPERATIONS
from triton_models.local_triton import LocalTriton

pytestmark = [pytest.mark.triton, pytest.mark.xdist_group("triton")]

# What one tile and the encoding of a small picture take on two cores with other work, with a margin.
A_TILE_SECONDS = 6
# Progress beyond this comes from the engine.
DECODED = 0.005


def request_for(model: str, image: bytes, **parameters: object) -> InferenceRequest:
    return InferenceRequest(model=model, image=image, request_id="test", **parameters)


def infer(
    client: TritonInferenceClient,
    request: InferenceRequest,
    *,
    timeout: float = 60,
    seen: list[Progress] | None = None,
    cancellation: Cancellation | None = None,
) -> InferenceResult:
    on_progress = (lambda _: None) if seen is None else seen.append
    return client.infer(request, timeout=timeout, on_progress=on_progress, cancellation=cancellation or Cancellation())


def refusal(client: TritonInferenceClient, request: InferenceRequest) -> InferenceRefused:
    with pytest.raises(InferenceRefused) as refused:
        infer(client, request)
    return refused.value


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class TestUpscale:
    def test_makes_a_photograph_exactly_four_times_as_large(self, triton_client: TritonInferenceClient) -> None:
        photograph = photographs.small(photographs.cat(), 151)

        result = infer(triton_client, request_for("upscale", photographs.jpeg(photograph)))

        picture = photographs.opened(result.image)
        assert picture.size == (4 * photograph.width, 4 * photograph.height)
        assert self.distance(picture.resize(photograph.size), photograph) < 5

    def test_says_which_engine_ran_and_how_long_it_took(self, triton_client: TritonInferenceClient) -> None:
        photograph = photographs.small(photographs.coffee(), 96)

        result = infer(triton_client, request_for("upscale", photographs.jpeg(photograph), scale=2))

        assert result.info["engine"].keys() == {"name", "version", "weights_sha256"}
        assert result.info["seconds"].keys() >= {"decode", "infer", "encode"}
        assert (result.info["width"], result.info["height"]) == (192, 128)
        assert result.info["batch_size"] == 1

    def test_shows_what_it_is_doing(self, triton_client: TritonInferenceClient) -> None:
        seen: list[Progress] = []

        infer(triton_client, request_for("upscale", photographs.jpeg(photographs.cat())), seen=seen)

        fractions = [progress.fraction for progress in seen]
        previews = [progress.preview for progress in seen if progress.preview]
        assert fractions[0] == 0
        assert fractions == sorted(fractions)
        assert len(fractions) >= 3
        assert previews
        assert all(photographs.opened(preview).format == "JPEG" for preview in previews)
        assert max(map(len, previews)) <= 16 * 1024

    @staticmethod
    def distance(one: object, other: object) -> float:
        return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


class TestBackgroundRemove:
    def test_keeps_the_subject_and_clears_what_is_behind(self, triton_client: TritonInferenceClient) -> None:
        photograph = photographs.coffee()

        result = infer(triton_client, request_for("background_remove", photographs.jpeg(photograph)))

        alpha = photographs.alpha(photographs.opened(result.image))
        assert alpha.shape == (photograph.height, photograph.width)
        assert alpha[150:250, 250:350].min() > 0.9
        assert alpha[:40, :40].max() < 0.1
        assert alpha[:40, -40:].max() < 0.1


class TestBatch:
    def test_holds_pictures_of_different_sizes(
        self, triton: LocalTriton, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        widths = [64, 80, 96, 112]
        requests = [
            request_for("upscale", photographs.jpeg(photographs.small(photographs.cat(), width))) for width in widths
        ]
        executions = int(triton.statistics("upscale")["execution_count"])

        results = list(threads.map(lambda request: infer(triton_client, request), requests))

        assert [photographs.opened(result.image).width for result in results] == [4 * width for width in widths]
        assert max(result.info["triton_batch"] for result in results) > 1
        assert int(triton.statistics("upscale")["execution_count"]) - executions < len(widths)

    def test_suffers_nothing_from_a_bad_request_in_it(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        good = request_for("upscale", photographs.jpeg(photographs.small(photographs.cat(), 64)))
        bad = request_for("upscale", b"not an image")

        calls = [threads.submit(infer, triton_client, request) for request in (good, bad, good, bad)]

        errors = [call.exception() for call in calls]
        assert [type(error) for error in errors] == [type(None), InferenceRefused] * 2
        assert max(call.result().info["triton_batch"] for call in calls[::2]) > 1

    def test_suffers_nothing_from_a_cancelled_request_in_it(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        cancellation = Cancellation()
        good = request_for("upscale", photographs.jpeg(photographs.small(photographs.cat(), 64)))
        calls = [threads.submit(infer, triton_client, good) for _ in range(2)]
        unwanted = threads.submit(infer, triton_client, good, cancellation=cancellation)

        time.sleep(0.05)
        cancellation.cancel()

        assert isinstance(unwanted.exception(), InferenceCancelled)
        assert all(photographs.opened(call.result().image).width == 256 for call in calls)


class TestCancel:
    def test_frees_the_server_within_a_tile(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        cancellation = Cancellation()
        self.occupy(triton_client, threads, cancellation)

        cancellation.cancel()

        assert self.seconds_of_a_small_one(triton_client) < A_TILE_SECONDS

    def test_is_what_a_missed_deadline_comes_to(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        calls = self.occupy(triton_client, threads, Cancellation(), timeout=6)

        assert {type(call.exception()) for call in calls} == {InferenceTimeout}

        assert self.seconds_of_a_small_one(triton_client) < A_TILE_SECONDS

    @staticmethod
    def occupy(
        client: TritonInferenceClient, threads: ThreadPoolExecutor, cancellation: Cancellation, *, timeout: float = 60
    ) -> list:
        """Give the server two pictures of many seconds, one for each of its threads, and wait until both have begun."""
        large = request_for("upscale", photographs.jpeg(photographs.astronaut().resize((1400, 1400))))
        begun = threading.Barrier(3)

        def work() -> None:
            at_work: list[Progress] = []

            def on_progress(progress: Progress) -> None:
                if progress.fraction > DECODED and not at_work:
                    at_work.append(progress)
                    begun.wait(30)

            client.infer(large, timeout=timeout, on_progress=on_progress, cancellation=cancellation)

        calls = [threads.submit(work) for _ in range(2)]
        begun.wait(30)
        return calls

    @staticmethod
    def seconds_of_a_small_one(client: TritonInferenceClient) -> float:
        small = request_for("upscale", photographs.jpeg(photographs.small(photographs.cat(), 64)))
        started = time.monotonic()
        infer(client, small)
        return time.monotonic() - started


@pytest.mark.parametrize("model", ["upscale", "enhance"])
class TestTwoPeopleAtOnce:
    def test_do_not_wait_for_each_others_whole_photo(
        self, model: str, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        cancellation, begun = Cancellation(), threading.Event()
        large = request_for(model, photographs.jpeg(photographs.astronaut().resize((1400, 1400))))
        small = request_for(model, photographs.jpeg(photographs.small(photographs.cat(), 64)))
        first = threads.submit(
            triton_client.infer,
            large,
            timeout=120,
            on_progress=lambda progress: progress.fraction > 0 and begun.set(),
            cancellation=cancellation,
        )
        assert begun.wait(30)

        result = infer(triton_client, small)

        assert photographs.opened(result.image).format == "JPEG"
        assert not first.done()
        cancellation.cancel()
        assert isinstance(first.exception(), InferenceCancelled)


@pytest.mark.parametrize("model", ["enhance", "style_comic", "style_aged"])
class TestEffect:
    def test_grows_with_its_strength_and_keeps_the_size(self, model: str, triton_client: TritonInferenceClient) -> None:
        photograph = photographs.small(photographs.coffee(), 160)
        image = photographs.png(photograph)

        none, some, full = (
            photographs.opened(infer(triton_client, request_for(model, image, strength=strength, seed=1)).image)
            for strength in (0.0, 0.4, 1.0)
        )

        assert none.tobytes() == photograph.tobytes()
        assert 0 < TestUpscale.distance(some, photograph) < TestUpscale.distance(full, photograph)
        assert full.size == photograph.size


@pytest.mark.parametrize("model", sorted(OPERATIONS))
class TestProvenance:
    def test_is_all_kept_in_the_job(self, triton_client: TritonInferenceClient, model: str) -> None:
        photograph = photographs.jpeg(photographs.small(photographs.coffee(), 64))

        info = infer(triton_client, request_for(model, photograph, seed=7, prompt="a cup", options={"steps": 5})).info

        told = provenance(info, asked={"prompt": "a cup"})
        assert told["device"]["kind"] in {"cpu", "cuda"}
        assert told["parameters"]["seed"] == 7
        assert "prompt" not in told["parameters"]
        # Nothing of it was cut, left out or changed; the prompts are in the job's own parameters.
        prompts = {"prompt": "a cup", "negative_prompt": ""} if "prompt" in info["parameters"] else {}
        whole = {**told, "parameters": {**told["parameters"], **prompts}}
        assert {part: info[part] for part in PARTS} == whole
        assert identity(info) == info["engine"]


@pytest.mark.parametrize("model", sorted(OPERATIONS))
class TestBadInput:
    def test_is_refused_when_it_is_empty(self, model: str, triton_client: TritonInferenceClient) -> None:
        assert refusal(triton_client, request_for(model, b"")).code == "unreadable_image"

    def test_is_refused_when_it_is_cut_short(self, model: str, triton_client: TritonInferenceClient) -> None:
        whole = photographs.jpeg(photographs.cat())

        assert refusal(triton_client, request_for(model, whole[: len(whole) // 2])).code == "unreadable_image"

    def test_is_refused_by_its_header_when_it_would_be_huge(
        self, model: str, triton_client: TritonInferenceClient
    ) -> None:
        bomb = photographs.png_that_claims(10_000, 6_000)
        started = time.monotonic()

        refused = refusal(triton_client, request_for(model, bomb))

        assert refused.code == "image_too_large"
        assert "60" in refused.message
        assert time.monotonic() - started < 2

    def test_is_refused_when_a_parameter_makes_no_sense(self, model: str, triton_client: TritonInferenceClient) -> None:
        request = request_for(model, photographs.jpeg(photographs.cat()), options={"quality": "excellent"})

        assert refusal(triton_client, request).code == "invalid_parameter"

    def test_is_refused_when_the_image_is_missing(self, model: str, triton: LocalTriton) -> None:
        message = tensors.encode(request_for(model, b"", seed=1))
        del message.inputs[0], message.raw_input_contents[0]

        assert self.raw_error(triton, message) == "invalid_parameter: IMAGE is missing."

    @pytest.mark.parametrize("content", [b"\x02\x00\x00\x00{[", b"\x02\x00\x00\x0017", b"\x01\x00\x00\x00\xff"])
    def test_is_refused_when_the_options_are_no_json_object(
        self, model: str, content: bytes, triton: LocalTriton
    ) -> None:
        message = tensors.encode(request_for(model, b"abc", options={"engine": "auto"}))
        message.raw_input_contents[1] = content

        assert self.raw_error(triton, message).startswith("invalid_parameter: OPTIONS ")

    def test_is_refused_when_it_holds_two_files(self, model: str, triton: LocalTriton) -> None:
        message = tensors.encode(request_for(model, b"abcd"))
        message.inputs[0].shape[:] = [2, 2]

        assert self.raw_error(triton, message).startswith("invalid_parameter: IMAGE must hold one file")

    @staticmethod
    def raw_error(triton: LocalTriton, message: service_pb2.ModelInferRequest) -> str:
        with grpc.insecure_channel(triton.grpc_url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return [answer.error_message for answer in stub.ModelStreamInfer(iter([message]), timeout=10)][-1]


class TestManyAtOnce:
    def test_are_all_answered_each_with_its_own(
        self, triton_client: TritonInferenceClient, threads: ThreadPoolExecutor
    ) -> None:
        def echo(number: int) -> bytes | InferenceError:
            options = {"steps": 3, "step_seconds": 0.002, "fail": "refuse" if number % 7 == 0 else ""}
            try:
                return infer(triton_client, request_for("sleeper", b"%d" % number, options=options)).image
            except InferenceRefused as error:
                return error

        answers = list(threads.map(echo, range(200)))

        for number, answer in enumerate(answers):
            assert isinstance(answer, InferenceRefused) if number % 7 == 0 else answer == (b"%d" % number)[::-1]
