from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from triton_models import images
from triton_models.batching import Batcher
from triton_models.engines import Outcome
from triton_models.errors import (
    Cancelled,
    EngineUnavailable,
    ImageTooLarge,
    InvalidParameter,
    QualityGate,
    UnknownEngine,
    UnreadableImage,
)
from triton_models.pipeline import Pipeline, Request
from triton_models.progress import Watch
from triton_models.tests.pictures import encoded, opened, pixels, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from triton_models.images import Picture
    from triton_models.parameters import Parameters


@dataclass(frozen=True)
class Scripted:
    """An engine that makes what the test says."""

    makes: Callable[[Picture], Picture]
    name: str = "realesr-animevideov3"
    version: str = "1"
    weights_sha256: str = ""
    uses: frozenset[str] = frozenset({"scale"})
    seconds_per_megapixel: float = 1.0

    def run(self, picture: Picture, parameters: Parameters, watch: Watch) -> Outcome:
        watch.report(0.5)
        return Outcome(self.makes(picture))


def with_engine(pipeline: Pipeline, makes: Callable[[Picture], Picture]) -> Pipeline:
    return replace(pipeline, engines={"realesr-animevideov3": Scripted(makes)})


def doubled(picture: Picture) -> Picture:
    return replace(picture, rgb=picture.rgb.repeat(2, axis=0).repeat(2, axis=1))


def watch() -> Watch:
    return Watch(lambda _fraction, _preview: None, lambda: False)


class TestLoad:
    def test_names_the_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"realesr-animevideov3-x4\.param is missing"):
            Pipeline.load("upscale", tmp_path)

    def test_refuses_an_operation_that_there_is_not(self, volume: Path) -> None:
        with pytest.raises(InvalidParameter, match="no operation 'sharpen'; there are upscale"):
            Pipeline.load("sharpen", volume)


class TestClose:
    def test_ends_the_threads_in_which_engines_share_passes(self, upscale: Pipeline) -> None:
        batcher: Batcher[int, int] = Batcher(lambda units: [unit.work for unit in units], largest=4, name="scripted")
        engine = Scripted(doubled)
        object.__setattr__(engine, "batcher", batcher)
        batcher.run_one("key", 1, watch())
        thread = batcher._thread

        replace(upscale, engines={"main": engine, "light": Scripted(doubled)}).close()

        assert thread
        assert not thread.is_alive()


class TestRun:
    def test_gives_the_photo_back_at_a_strength_of_0_whatever_the_engine_does(
        self, volume: Path, small_photo: Image.Image
    ) -> None:
        loaded = Pipeline.load("enhance", volume)
        inverted = Scripted(lambda picture: replace(picture, rgb=255 - picture.rgb))
        pipeline = replace(loaded, engines=dict.fromkeys(loaded.engines, inverted))

        made = [opened(run(pipeline, small_photo, strength=strength).image) for strength in (0.0, 0.1)]

        differences = [np.abs(np.asarray(each, int) - np.asarray(small_photo, int)).max() for each in made]
        assert differences[0] == 0
        assert differences[1] > 100

    def test_enlarges_a_photograph_four_times(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        made = run(upscale, small_photo)

        assert (made.width, made.height, made.format) == (384, 256, "png")
        assert opened(made.image).size == (384, 256)

    def test_takes_the_scale_from_the_request(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        assert run(upscale, small_photo, scale=2).width == 192

    def test_answers_a_jpeg_with_a_jpeg(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        made = run(upscale, encoded(small_photo, "JPEG"))

        assert opened(made.image).format == "JPEG"

    def test_enlarges_upright(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6

        assert opened(run(upscale, encoded(small_photo, "JPEG", exif=exif)).image).size == (256, 384)

    def test_keeps_gray_gray_and_transparency_transparent(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        source = small_photo.convert("L")
        source.putalpha(Image.linear_gradient("L").resize(source.size))

        made = opened(run(upscale, source).image)

        assert made.mode == "LA"
        assert made.size == (384, 256)

    def test_cuts_out_a_subject(self, background_remove: Pipeline, photographs: dict[str, Image.Image]) -> None:
        made = opened(run(background_remove, encoded(photographs["coffee"], "JPEG")).image)

        assert made.mode == "RGBA"
        assert made.getpixel((5, 5))[3] == 0
        assert made.getpixel((250, 200))[3] == 255

    @pytest.mark.parametrize(
        ("options", "format_", "mode"),
        [
            ({"bg_color": "#0000ff"}, "JPEG", "RGB"),
            ({"channels": "alpha"}, "PNG", "L"),
            ({"format": "webp"}, "WEBP", "RGBA"),
            ({"format": "jpeg"}, "JPEG", "RGB"),
        ],
    )
    def test_answers_in_the_format_that_suits_the_result(
        self,
        options: dict[str, object],
        format_: str,
        mode: str,
        background_remove: Pipeline,
        small_photo: Image.Image,
    ) -> None:
        made = opened(run(background_remove, encoded(small_photo, "JPEG"), options=options).image)

        assert (made.format, made.mode) == (format_, mode)

    def test_crops_to_the_subject(self, background_remove: Pipeline, photographs: dict[str, Image.Image]) -> None:
        made = run(background_remove, photographs["coffee"], options={"crop": True})

        assert made.width < 480
        assert opened(made.image).size == (made.width, made.height)

    def test_gives_the_same_bytes_every_time(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        assert run(upscale, small_photo).image == run(upscale, small_photo).image

    def test_works_in_several_threads_at_once(self, upscale: Pipeline, astronaut: Image.Image) -> None:
        crops = [astronaut.crop((left, left, left + 80, left + 60)) for left in range(0, 400, 50)]
        one_by_one = [run(upscale, crop).image for crop in crops]

        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda crop: run(upscale, crop).image, crops))

        assert together == one_by_one


class TestInfo:
    def test_says_what_was_done_by_which_engine(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        info = json.loads(json.dumps(run(upscale, small_photo, scale=2, seed=7).info))

        assert info["engine"]["name"] == "realesr-animevideov3"
        assert len(info["engine"]["weights_sha256"]) == 64
        assert info["input"] == {"format": "png", "width": 96, "height": 64}
        assert (info["format"], info["width"], info["height"]) == ("png", 192, 128)
        assert info["seconds"].keys() == {"decode", "infer", "encode"}
        assert info["checks"]["reduced_psnr_db"] > 40
        assert (info["parameters"]["scale"], info["parameters"]["seed"]) == (2, 7)
        assert info["warnings"] == []

    @pytest.mark.parametrize("name", ["style_comic", "style_aged"])
    def test_warns_of_no_default_that_was_sent_along(self, name: str, volume: Path, small_photo: Image.Image) -> None:
        pipeline = Pipeline.load(name, volume)

        made = run(pipeline, small_photo, options=pipeline.operation.accepts)

        assert made.info["warnings"] == []

    def test_warns_of_a_prompt_that_no_engine_here_can_use(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        made = run(upscale, small_photo, prompt="a sharper cat", guidance_scale=7.5)

        assert made.info["engine"]["name"] == "realesr-animevideov3"
        assert made.info["warnings"] == [
            "The guidance_scale was not used: the engine realesr-animevideov3 takes none.",
            "The prompt was not used: the engine realesr-animevideov3 takes none.",
        ]

    def test_warns_of_what_the_operation_does_not_have(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        made = run(upscale, small_photo, strength=0.5, options={"halo": [1, 2], "quality": None, "bg_color": ""})

        assert made.info["warnings"] == [
            "halo is not a parameter of this operation and was ignored.",
            "strength is not a parameter of this operation and was ignored.",
        ]

    def test_reports_how_sure_a_cut_is(self, background_remove: Pipeline, small_photo: Image.Image) -> None:
        checks = run(background_remove, small_photo).info["checks"]

        assert checks.keys() == {"undecided", "subject", "empty", "full"}


class TestRefusal:
    def test_of_bytes_that_are_no_image(self, upscale: Pipeline) -> None:
        with pytest.raises(UnreadableImage):
            run(upscale, b"GIF89a but not really")

    def test_of_a_result_that_would_be_too_large_comes_before_decoding(
        self, upscale: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "decode", None)
        large = encoded(Image.new("1", (3000, 2000)))

        with pytest.raises(ImageTooLarge, match=r"96\.0 megapixels \(12000 x 8000\); 64 are allowed") as refusal:
            run(upscale, large)

        assert "3000 x 2000" in refusal.value.message

    def test_of_a_wrong_parameter_comes_before_anything_else(self, upscale: Pipeline) -> None:
        with pytest.raises(InvalidParameter, match="scale must be one of 2, 4, not 3"):
            run(upscale, b"not even an image", scale=3)

    def test_of_an_unknown_engine(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        with pytest.raises(UnknownEngine, match="upscale has no engine 'huge'"):
            run(upscale, small_photo, options={"engine": "huge"})

    def test_of_a_format_that_cannot_hold_the_result(self, upscale: Pipeline) -> None:
        wide = Image.new("RGB", (5000, 32))

        with pytest.raises(InvalidParameter, match="A side of 20000 pixels does not fit in webp"):
            run(with_engine(upscale, lambda picture: doubled(doubled(picture))), wide, options={"format": "webp"})


class TestQualityGate:
    def test_refuses_a_result_of_another_size(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        with pytest.raises(QualityGate, match="192 x 128 instead of 384 x 256"):
            run(with_engine(upscale, doubled), small_photo, scale=4)

    def test_refuses_one_colour_made_of_many(self, upscale: Pipeline, small_photo: Image.Image) -> None:
        black = with_engine(upscale, lambda picture: replace(doubled(picture), rgb=doubled(picture).rgb * 0))

        with pytest.raises(QualityGate, match="single colour although the image is not"):
            run(black, small_photo, scale=2)

    def test_lets_one_colour_stay_one_colour(self, upscale: Pipeline) -> None:
        made = run(with_engine(upscale, doubled), Image.new("RGB", (64, 64), (10, 20, 30)), scale=2)

        assert made.width == 128


class TestProgress:
    def test_rises_from_start_to_end_and_shows_pictures(self, upscale: Pipeline, astronaut: Image.Image) -> None:
        heard: list[tuple[float, bytes | None]] = []

        made = upscale.run(
            Request(image=encoded(astronaut.crop((0, 0, 300, 300)))),
            on_progress=lambda fraction, preview: heard.append((fraction, preview)),
            is_cancelled=lambda: False,
        )

        fractions = [fraction for fraction, _ in heard]
        previews = [preview for _, preview in heard if preview is not None]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert len(set(fractions)) >= 5
        assert opened(previews[0]).format == "JPEG"
        assert np.abs(pixels(made.preview) - pixels(opened(made.image).resize(opened(made.preview).size))).mean() < 6

    @pytest.mark.parametrize(("seconds", "inferred"), [(0.03, 1 / 3), (10.0, 0.99)])
    def test_is_shared_out_by_the_time_that_stages_take(
        self, seconds: float, inferred: float, upscale: Pipeline, small_photo: Image.Image
    ) -> None:
        engine = replace(Scripted(lambda picture: picture), seconds_per_megapixel=seconds)
        operation = replace(upscale.operation, output_size=lambda width, height, _parameters: (width, height))
        pipeline = replace(upscale, operation=operation, engines={engine.name: engine})
        heard: list[float] = []

        pipeline.run(
            Request(image=encoded(small_photo), options={"format": "png"}),
            on_progress=lambda fraction, _preview: heard.append(fraction),
            is_cancelled=lambda: False,
        )

        assert heard[-2:] == pytest.approx([inferred, 1.0], abs=0.01)

    def test_ends_before_decoding_when_the_request_was_cancelled_in_the_queue(
        self, upscale: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "inspect", None)

        with pytest.raises(Cancelled):
            upscale.run(Request(image=b""), on_progress=lambda _fraction, _preview: None, is_cancelled=lambda: True)

    def test_ends_in_the_middle_when_the_request_is_cancelled_there(
        self, upscale: Pipeline, astronaut: Image.Image
    ) -> None:
        heard: list[float] = []

        with pytest.raises(Cancelled):
            upscale.run(
                Request(image=encoded(astronaut)),
                on_progress=lambda fraction, _preview: heard.append(fraction),
                is_cancelled=lambda: len(heard) >= 3,
            )

        assert heard[-1] < 0.5
