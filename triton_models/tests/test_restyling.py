from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from triton_models.batching import Unit
from triton_models.devices import Device
from triton_models.diffusion.loading import Loaded
from triton_models.diffusion.passes import Passes, Terms, Wish
from triton_models.engines import comic_ghibli
from triton_models.errors import Cancelled, EngineUnavailable, InvalidParameter, OutOfMemory, QualityGate
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.progress import Watch
from triton_models.tests.pictures import opened
from triton_models.tests.restyling import (
    Calls,
    apart,
    asked,
    rigged,
    the_same,
    together,
    watch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from triton_models.diffusion.restyling import Restyler


class TestALoadedEngine:
    def test_makes_a_picture_of_the_same_size_and_says_what_it_chose(self, restyler: Restyler, photo: Picture) -> None:
        made = restyler.run(photo, Parameters(strength=0.1), watch())

        assert (made.picture.width, made.picture.height) == (photo.width, photo.height)
        assert apart(made.picture, photo) > 10
        assert (made.chosen["steps"], made.device.precision, made.batch_size) == (30, "fp32", 1)
        assert isinstance(made.chosen["seed"], int)
        assert len(restyler.weights_sha256) == 64

    def test_draws_another_seed_each_time_and_repeats_the_one_that_is_asked_for(
        self, comic: Restyler, photo: Picture
    ) -> None:
        first, second = (comic.run(photo, asked(seed=None), watch()) for _ in range(2))
        again = comic.run(photo, asked(seed=first.chosen["seed"]), watch())

        assert first.chosen["seed"] != second.chosen["seed"]
        assert apart(first.picture, second.picture) > 0
        assert apart(first.picture, again.picture) == 0

    def test_is_told_of_its_style_in_front_of_the_wish(self, restylers: dict[str, Restyler], photo: Picture) -> None:
        calls = Calls(the_same)

        rigged(restylers["ghibli-diffusion"], calls).run(photo, asked(prompt="a cat"), watch())
        rigged(restylers["sdxl-refiner"], calls).run(photo, asked(prompt="a cat", negative_prompt="dog"), watch())

        (_, [comic]), (_, [plain]) = calls.made
        assert comic.prompt == "ghibli style, a cat"
        assert (plain.prompt, plain.negative_prompt) == ("a cat", "dog")

    def test_reads_the_beginning_of_a_long_prompt_and_says_so(self, restyler: Restyler, photo: Picture) -> None:
        made = restyler.run(photo, asked(prompt="very " * 100, steps=2), watch())

        assert len(made.warnings) == 1
        assert "75 tokens of the prompt" in made.warnings[0]
        assert "very" not in made.warnings[0]

    def test_counts_a_prompt_beside_a_run_that_reads_another(self, comic: Restyler) -> None:
        loaded = comic.passes.loaded
        done = threading.Event()

        def read_on() -> None:
            while not done.is_set():
                loaded.pipeline.tokenizer(["a cat"], padding="max_length", max_length=77, truncation=True)

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read_on)
            counted = [len(loaded.reader.unread_warnings({"prompt": "very " * 100})) for _ in range(500)]
            done.set()
            reading.result(10)

        assert set(counted) == {1}

    def test_finds_a_step_for_every_strength_it_may_choose_the_steps_for(
        self, restylers: dict[str, Restyler], photo: Picture
    ) -> None:
        engine = restylers["ghibli-diffusion"]

        for parts in range(1, 151):
            settings = engine._settings(photo, Parameters(strength=1 / parts))
            assert int(settings.steps * settings.strength) >= 1 or settings.steps == 150

    def test_refuses_strength_and_steps_that_leave_nothing_to_do(self, comic: Restyler, photo: Picture) -> None:
        with pytest.raises(InvalidParameter) as error:
            comic.run(photo, asked(strength=0.02, steps=20), watch())

        assert error.value.message == (
            "strength 0.02 with 20 steps leaves no step to do; ask for at least 50 steps, or a strength of at least 0.05."
        )

    def test_takes_more_steps_for_a_faint_strength_when_none_were_asked_for(
        self, restylers: dict[str, Restyler], photo: Picture
    ) -> None:
        engine = rigged(restylers["ghibli-diffusion"], Calls(the_same))

        assert engine.run(photo, asked(strength=0.01, steps=None), watch()).chosen["steps"] == 100
        with pytest.raises(InvalidParameter, match="strength of at least"):
            engine.run(photo, asked(strength=0.001, steps=None), watch())

    def test_works_at_full_strength(self, restyler: Restyler, photo: Picture) -> None:
        assert apart(restyler.run(photo, asked(strength=1.0, steps=2), watch()).picture, photo) > 10

    def test_does_not_start_with_a_file_that_was_changed(self, tiny_volume: Path, tmp_path: Path) -> None:
        for path in (tiny_volume / "ghibli-diffusion").rglob("*"):
            copy = tmp_path / path.relative_to(tiny_volume)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                copy.symlink_to(path)
        changed = tmp_path / "ghibli-diffusion" / "scheduler" / "scheduler_config.json"
        content = changed.read_bytes()
        changed.unlink()
        changed.write_bytes(content.replace(b"0.012", b"0.013"))

        with pytest.raises(EngineUnavailable, match="scheduler_config"):
            comic_ghibli.load(tmp_path, threads=1)


class TestRequestsThatShareARun:
    def test_get_what_they_would_have_got_alone(self, restyler: Restyler, photo: Picture) -> None:
        other = Picture(photo.rgb[::-1].copy())
        requests = [(photo, asked(prompt="a cat", seed=1)), (other, asked(negative_prompt="a dog", seed=2))]

        alone = [restyler.run(picture, parameters, watch()) for picture, parameters in requests]
        shared = together(restyler, requests)

        assert [each.batch_size for each in shared] == [2, 2]
        for one, both in zip(alone, shared, strict=True):
            assert apart(one.picture, both.picture) <= 1
        assert apart(shared[0].picture, shared[1].picture) > 10

    @pytest.mark.parametrize(
        "difference", [{"steps": 5}, {"strength": 0.9}, {"guidance_scale": 3.0}, {"size": (40, 160)}]
    )
    def test_are_of_one_size_strength_guidance_and_number_of_steps(
        self, restylers: dict[str, Restyler], photo: Picture, difference: dict[str, Any]
    ) -> None:
        calls = Calls(the_same)
        engine = rigged(restylers["ghibli-diffusion"], calls, side=128)
        size = difference.pop("size", None)
        other = Picture(np.asarray(Image.fromarray(photo.rgb).resize(size))) if size else photo

        together(engine, [(photo, asked()), (other, asked(**difference))])
        together(engine, [(photo, asked(seed=1, prompt="a")), (photo, asked(seed=2, prompt="b"))])

        assert [len(wishes) for _, wishes in calls.made] == [1, 1, 2]

    def test_are_none_when_they_must_be_reproducible(self, restylers: dict[str, Restyler], photo: Picture) -> None:
        calls = Calls()
        engine = rigged(restylers["ghibli-diffusion"], calls)
        same = asked(reproducible=True, seed=None)

        first, second = together(engine, [(photo, same), (photo, same)])

        assert [len(wishes) for _, wishes in calls.made] == [1, 1]
        assert apart(first.picture, second.picture) == 0
        assert first.chosen == second.chosen


def unit_of(photo: Picture, told: list[float], shown: list[bytes], engine: Restyler) -> Unit[Any, Any]:
    small = np.asarray(Image.fromarray(photo.rgb).resize((64, 64)), np.float32) / 255
    wish = Wish(small, "a cat", "", 1, show=lambda latents: engine.colors.preview(latents, photo))
    unit = Unit(Terms(64, 64, 5, 7.5, 0.8), wish, 0, object())

    def tell(fraction: float, preview: Callable[[], bytes] | None = None) -> None:
        told.append(fraction)
        shown.append(preview() if preview else b"")

    unit.tell = tell  # type: ignore[method-assign]
    return unit


class TestARunInProgress:
    def test_tells_of_each_step_with_a_small_picture(self, restyler: Restyler, photo: Picture) -> None:
        told, shown = [], []
        calls: list[int] = []
        hook = restyler.passes.loaded.pipeline.unet.register_forward_pre_hook(lambda *_: calls.append(1))

        restyler.passes._run_together([unit_of(photo, told, shown, restyler)])

        hook.remove()
        assert told == [pytest.approx((step + 1) / len(calls)) for step in range(len(calls))]
        assert {opened(jpeg).size for jpeg in shown} == {(150, 110)}
        assert max(map(len, shown)) <= 16 * 1024

    def test_never_seems_to_go_back(self, comic: Restyler, photo: Picture) -> None:
        told: list[float] = []

        comic.run(photo, asked(), Watch(lambda fraction, _preview: told.append(fraction), lambda: False))

        assert told == sorted(told)
        assert (told[0], told[-1]) == (0.0, 1.0)

    def test_stops_within_a_step_when_nobody_waits_for_it(self, comic: Restyler, photo: Picture) -> None:
        cancelled, left = threading.Event(), threading.Event()
        steps: list[int] = []

        def first_step(*_: Any) -> None:
            steps.append(1)
            cancelled.set()
            assert left.wait(10)

        hook = comic.passes.loaded.pipeline.unet.register_forward_pre_hook(first_step)
        with pytest.raises(Cancelled):
            comic.run(photo, asked(steps=8), watch(cancelled.is_set))
        left.set()
        comic.batcher.close()
        hook.remove()

        assert len(steps) == 1

    def test_goes_on_for_the_others_when_one_leaves(self, comic: Restyler, photo: Picture) -> None:
        alone = comic.run(photo, asked(seed=5), watch())
        cancelled, left = threading.Event(), threading.Event()

        def first_step(*_: Any) -> None:
            cancelled.set()
            assert left.wait(10)

        hook = comic.passes.loaded.pipeline.unet.register_forward_pre_hook(first_step)
        with ThreadPoolExecutor(2) as pool, comic.batcher.announced():
            staying = pool.submit(comic.run, photo, asked(seed=5), watch())
            leaving = pool.submit(comic.run, photo, asked(seed=6), watch(cancelled.is_set))
            with pytest.raises(Cancelled):
                leaving.result(10)
            left.set()
            made = staying.result(10)
        hook.remove()

        assert made.batch_size == 2
        assert apart(made.picture, alone.picture) <= 1


class TestAModelThatFails:
    @pytest.fixture
    def half(self, restylers: dict[str, Restyler]) -> Iterator[Restyler]:
        """The comic engine in fp16, as on a card."""
        engine = restylers["ghibli-diffusion"]
        whole = engine.passes.loaded
        whole.pipeline.to(torch.float16)
        in_half = Loaded(whole.pipeline, Device("cpu", "fp16", "CPU"), whole.weights_sha256)
        yield replace(engine, passes=Passes(in_half, Calls(), 2), side=128)
        whole.pipeline.to(torch.float32)

    def test_is_asked_again_in_fp32_when_fp16_overflows(self, half: Restyler, photo: Picture) -> None:
        def overflow(_net: Any, _inputs: Any, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            return (outputs[0] * float("nan"),) if outputs[0].dtype == torch.float16 else None

        hook = half.passes.loaded.pipeline.unet.register_forward_hook(overflow)
        made = half.run(photo, asked(), watch())
        hook.remove()

        assert made.checks["second_try"] is True
        assert [terms.careful for terms, _ in half.passes.call.made] == [False, True]
        assert half.passes.loaded.pipeline.unet.dtype == torch.float16

    def test_hands_out_nothing_that_is_not_a_picture(self, comic: Restyler, photo: Picture) -> None:
        hook = comic.passes.loaded.pipeline.unet.register_forward_hook(
            lambda _net, _inputs, outputs: (outputs[0] * float("nan"),)
        )
        with pytest.raises(QualityGate, match="not finite"):
            comic.run(photo, asked(), watch())
        hook.remove()

        assert apart(comic.run(photo, asked(), watch()).picture, photo) > 0

    @pytest.mark.parametrize("level", [0.0, 0.5])
    def test_hands_out_neither_black_nor_one_color(self, comic: Restyler, photo: Picture, level: float) -> None:
        flat = rigged(comic, Calls(lambda *arguments: torch.full_like(the_same(*arguments), level)))

        with pytest.raises(QualityGate, match="single colour"):
            flat.run(photo, asked(), watch())

    def test_is_given_a_smaller_picture_once_when_there_is_no_room(self, comic: Restyler, photo: Picture) -> None:
        def cramped(pipeline: Any, wishes: Sequence[Wish], terms: Terms, after_step: Any) -> torch.Tensor:
            if terms.width * terms.height > 64 * 64:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return the_same(pipeline, wishes, terms, after_step)

        calls = Calls(cramped)

        made = rigged(comic, calls, side=128).run(photo, asked(), watch())

        assert [terms.width for terms, _ in calls.made] == [128, 64]
        assert (made.picture.width, made.picture.height) == (photo.width, photo.height)

    def test_says_so_when_there_is_no_room_at_all(self, comic: Restyler, photo: Picture) -> None:
        def full(*_: Any) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

        with pytest.raises(OutOfMemory, match="no room for a picture of 64 x 64"):
            rigged(comic, Calls(full)).run(photo, asked(), watch())
