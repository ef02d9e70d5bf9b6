from __future__ import annotations

import hashlib
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models import mask_networks
from triton_models.batching import Batcher
from triton_models.engines import background_main
from triton_models.engines.background_main import Cutter, brought_out, load_cutter
from triton_models.errors import Cancelled, EngineUnavailable, QualityGate
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.pipeline import Pipeline, Request, Result
from triton_models.progress import Watch
from triton_models.tests.tiny_isnet import SIDE, isnet, save_isnet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from triton_models.engines import Outcome
    from triton_models.mask_networks import MaskNetwork

ISNET, RMBG = "isnet-general-use", "rmbg-1.4"
BALL, LAWN, WALL = (230, 120, 40), (20, 200, 30), (128, 128, 128)


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "weights.lock"
    monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(path))
    return path


@pytest.fixture
def models(tmp_path: Path, volume: Path, lock: Path) -> Path:
    """A model volume with the light engine's weights and a tiny ISNet."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "u2netp").symlink_to(volume / "u2netp")
    save_isnet(folder, lock, isnet())
    return folder


@pytest.fixture
def cutter(models: Path) -> Cutter:
    return load_cutter("isnet", ISNET, models, threads=1, largest=4)


@dataclass
class Slow:
    """A network that waits at a gate, and tells how many pictures each of its passes had."""

    network: MaskNetwork
    gate: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    passes: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    # What it answers instead, once for each pass.
    instead: list[float] = field(default_factory=list)

    def masks(self, pictures: Sequence[np.ndarray], options: object = None) -> list[np.ndarray]:
        self.passes.append(len(pictures))
        self.began.set()
        assert self.gate.wait(20)
        if self.instead:
            return [np.full((SIDE, SIDE), self.instead.pop(0), np.float32)] * len(pictures)
        try:
            return self.network.masks(pictures, options)
        except mask_networks.ERRORS as error:
            self.failures.append(str(error))
            raise

    def __getattr__(self, name: str) -> object:
        return getattr(self.network, name)


def slowed(cutter: Cutter, **instead: list[float]) -> tuple[Cutter, Slow]:
    slow = Slow(cutter.network, **instead)
    return replace(cutter, network=slow, batcher=Batcher(background_main.passes(slow), largest=4, name="test")), slow


def ball(side: int = 96, *, across: float = 0.6) -> Picture:
    rows, columns = np.mgrid[-1 : 1 : 1j * side, -1 : 1 : 1j * side]
    inside = np.hypot(rows, columns) < across
    return Picture(np.where(inside[..., None], BALL, LAWN).astype(np.uint8))


def plain(color: tuple[int, int, int], shape: tuple[int, int] = (64, 96)) -> Picture:
    return Picture(np.broadcast_to(np.array(color, np.uint8), (*shape, 3)).copy())


def cut(cutter: Cutter, picture: Picture, watch: Watch | None = None, **parameters: object) -> Outcome:
    watch = watch or Watch(lambda _fraction, _preview: None, lambda: False)
    return cutter.run(picture, Parameters(**parameters), watch)


def alpha_of(outcome: Outcome) -> np.ndarray:
    assert outcome.picture.alpha is not None
    return outcome.picture.alpha.astype(int)


def png(picture: Picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.rgb).save(file, "PNG")
    return file.getvalue()


def run(pipeline: Pipeline, picture: Picture, **options: object) -> Result:
    request = Request(image=png(picture), options=options)
    return pipeline.run(request, on_progress=lambda _fraction, _preview: None, is_cancelled=lambda: False)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class TestACut:
    def test_keeps_the_subject_and_clears_the_background(self, cutter: Cutter) -> None:
        alpha = alpha_of(cut(cutter, ball(192)))

        assert alpha[60:130, 60:130].min() > 240
        assert alpha[:20].max() < 15
        assert np.mean((alpha > 127) == (ball(192).rgb[..., 0] > 127)) > 0.99

    @pytest.mark.parametrize("shape", [(32, 2000), (2000, 32), (33, 47)])
    def test_has_the_size_of_its_picture_whatever_that_is(self, cutter: Cutter, shape: tuple[int, int]) -> None:
        made = cut(cutter, plain(BALL, shape))

        assert alpha_of(made).shape == shape
        assert made.checks["full"] is True

    def test_of_a_picture_that_is_wholly_transparent_stays_so(self, cutter: Cutter) -> None:
        made = cut(cutter, replace(ball(), alpha=np.zeros((96, 96), np.uint8)))

        assert alpha_of(made).max() == 0
        assert made.checks["empty"] is True

    def test_does_not_take_noise_for_a_subject_where_there_is_none(self, cutter: Cutter) -> None:
        noise = np.random.default_rng(0).integers(-3, 4, (96, 96, 3))

        made = cut(cutter, Picture((plain(WALL, (96, 96)).rgb + noise).astype(np.uint8)))

        assert alpha_of(made).max() < 13
        assert made.checks["empty"] is True
        assert made.warnings == ["No subject was found: nearly everything is transparent."]

    def test_has_no_holes_where_the_subject_fills_the_picture(self, cutter: Cutter) -> None:
        made = cut(cutter, plain(BALL))

        assert alpha_of(made).min() > 250
        assert made.warnings == ["No background was found: nearly everything was kept."]


class TestBroughtOut:
    def test_makes_the_likeliest_part_opaque(self) -> None:
        mask = np.array([[0.0, 0.4, 0.8]], np.float32)

        assert brought_out(mask) == pytest.approx(np.array([[0.0, 0.5, 1.0]]))

    def test_leaves_a_mask_alone_that_believes_in_no_subject(self) -> None:
        mask = np.array([[0.0, 0.02, 0.4]], np.float32)

        assert (brought_out(mask) == mask).all()

    def test_keeps_a_full_mask_full(self) -> None:
        assert brought_out(np.array([[0.9, 0.97, 1.0]], np.float32)).min() == pytest.approx(0.9)


class TestRequestsAtOnce:
    def test_share_a_pass_and_get_what_each_gets_alone(self, cutter: Cutter) -> None:
        balls = [ball(64 + 16 * number, across=0.3 + 0.1 * number) for number in range(4)]
        shared, slow = slowed(cutter)
        with ThreadPoolExecutor(5) as pool:
            ahead = pool.submit(cut, shared, plain(WALL))
            assert slow.began.wait(20)
            others = [pool.submit(cut, shared, each) for each in balls]
            wait_until(lambda: shared.batcher._reach() == 4)
            slow.gate.set()
            made = [other.result() for other in others]

            assert ahead.result().batch_size == 1

        assert slow.passes == [1, 4]
        assert [outcome.batch_size for outcome in made] == [4] * 4
        for picture, outcome in zip(balls, made, strict=True):
            assert np.abs(alpha_of(outcome) - alpha_of(cut(cutter, picture))).max() <= 1

    def test_leave_one_alone_that_must_be_reproducible(self, cutter: Cutter) -> None:
        shared, slow = slowed(cutter)
        with ThreadPoolExecutor(4) as pool:
            pool.submit(cut, shared, plain(WALL))
            assert slow.began.wait(20)
            others = [pool.submit(cut, shared, ball(), reproducible=number == 1) for number in range(3)]
            wait_until(lambda: len(shared.batcher._waiting) == 3)
            slow.gate.set()
            made = [other.result() for other in others]

        assert [outcome.batch_size for outcome in made] == [2, 1, 2]
        assert (alpha_of(made[1]) == alpha_of(cut(cutter, ball(), reproducible=True))).all()

    def test_are_not_harmed_by_one_that_is_cancelled(self, cutter: Cutter) -> None:
        shared, slow = slowed(cutter)
        gone = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            pool.submit(cut, shared, plain(WALL))
            assert slow.began.wait(20)
            leaving = pool.submit(cut, shared, ball(), Watch(lambda *_: None, gone.is_set))
            staying = pool.submit(cut, shared, ball())
            wait_until(lambda: shared.batcher._reach() == 2)
            gone.set()
            with pytest.raises(Cancelled):
                leaving.result(20)
            slow.gate.set()

            assert staying.result().batch_size == 1

        assert slow.passes == [1, 1]


class TestACancelledRequest:
    def test_ends_the_pass_that_nobody_else_waits_for(self, cutter: Cutter) -> None:
        lone, slow = slowed(cutter)
        gone = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            request = pool.submit(cut, lone, ball(), Watch(lambda *_: None, gone.is_set))
            assert slow.began.wait(20)
            gone.set()
            with pytest.raises(Cancelled):
                request.result(20)
            slow.gate.set()
            wait_until(lambda: bool(slow.failures))

        assert "terminate" in slow.failures[0]
        assert cut(lone, ball()).batch_size == 1


class TestAnAnswerThatIsNotFinite:
    def test_is_asked_for_once_more(self, cutter: Cutter) -> None:
        shared, slow = slowed(cutter, instead=[np.nan])
        slow.gate.set()

        made = cut(shared, ball())

        assert made.checks["second_try"] is True
        assert (alpha_of(made) == alpha_of(cut(cutter, ball()))).all()
        assert slow.passes == [1, 1]

    def test_is_never_handed_out(self, models: Path, lock: Path) -> None:
        save_isnet(models, lock, isnet(broken=True))

        with pytest.raises(QualityGate, match="not finite"):
            cut(load_cutter("isnet", ISNET, models, threads=1), ball())


class TestTheEngine:
    def test_is_the_first_choice_once_its_weights_are_there(self, models: Path) -> None:
        info = run(Pipeline.load("background_remove", models), ball()).info

        digest = hashlib.sha256((models / ISNET / "isnet-general-use.onnx").read_bytes()).hexdigest()
        assert info["engine"] == {"name": "isnet", "version": "1", "weights_sha256": digest}
        assert info["device"] == {"kind": "cpu", "name": "CPU", "precision": "fp32"}
        assert info["batch_size"] == 1
        assert info["seconds"].keys() == {"decode", "infer", "encode", "pass", "edges"}
        assert info["checks"].keys() == {"undecided", "subject", "empty", "full"}

    def test_leaves_the_light_one_to_be_asked_for(self, models: Path) -> None:
        pipeline = Pipeline.load("background_remove", models)

        assert run(pipeline, ball(), engine="light").info["engine"]["name"] == "u2netp"
        assert run(pipeline, ball(), engine="isnet").info["engine"]["name"] == "isnet"

    def test_gives_the_same_bytes_twice_to_a_request_that_must_be_reproducible(self, models: Path) -> None:
        pipeline = Pipeline.load("background_remove", models)

        first, second = (run(pipeline, ball(), reproducible=True) for _ in range(2))

        assert first.image == second.image

    def test_is_rmbg_for_those_who_have_accepted_its_licence(
        self, models: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_isnet(models, lock, isnet(batch=None), RMBG)
        refused = run(Pipeline.load("background_remove", models), ball()).info["engine"]
        monkeypatch.setenv("IMAGEN_ACCEPT_LICENCES", "rmbg-1.4")

        accepted = run(Pipeline.load("background_remove", models), ball()).info["engine"]

        assert (refused["name"], accepted["name"]) == ("isnet", "rmbg-1.4")

    def test_refuses_weights_that_are_not_the_locked_ones(self, models: Path) -> None:
        (models / ISNET / "isnet-general-use.onnx").write_bytes(isnet(mixes=True))

        with pytest.raises(EngineUnavailable, match=r"isnet-general-use\.onnx"):
            Pipeline.load("background_remove", models)

    def test_takes_one_picture_at_a_time_when_its_file_would_mix_several(
        self, models: Path, lock: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        save_isnet(models, lock, isnet(mixes=True))

        assert load_cutter("isnet", ISNET, models, threads=1, largest=4).batcher.largest == 1
        assert "one picture at a time" in caplog.text

    def test_reports_by_the_clock_while_the_network_computes(self, cutter: Cutter) -> None:
        slow, gate = slowed(cutter)
        heard: list[float] = []

        def listen(fraction: float, _preview: bytes | None) -> None:
            heard.append(fraction)
            if len(heard) == 4:
                gate.gate.set()

        cut(slow, ball(), Watch(listen, lambda: False))

        assert heard == sorted(heard)
        assert 0.03 <= heard[1] < heard[3]
