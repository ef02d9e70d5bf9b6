from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from jobs import av1, uploads
from jobs.errors import BadUpload, TooManyPixels
from jobs.operations import Limits

PHOTO = Image.fromarray(data.coffee()).resize((120, 80))


def avif(picture: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "AVIF", **options)
    return file.getvalue()


def claiming(width: int, height: int, content: bytes) -> bytes:
    return content.replace(struct.pack(">II", 120, 80), struct.pack(">II", width, height))


BUILDS = {
    "plain": avif(),
    "fast": avif(speed=10),
    "lossless colours": avif(subsampling="4:4:4", quality=100),
    "alpha": avif(PHOTO.convert("RGBA")),
    "moving": avif(save_all=True, append_images=[PHOTO.rotate(90)]),
    "tiled": avif(tile_rows=1, tile_cols=1),
    "exif and profile": avif(exif=Image.Exif().tobytes(), icc_profile=bytes(600)),
}


class TestTheCodedSize:
    @pytest.mark.parametrize("build", BUILDS)
    def test_is_the_one_of_the_pixels_whatever_the_container_says(self, build: str) -> None:
        assert set(av1.coded_sizes(BUILDS[build])) == {(120, 80)}
        assert set(av1.coded_sizes(claiming(64, 64, BUILDS[build]))) == {(120, 80)}

    @pytest.mark.parametrize("build", BUILDS)
    def test_is_held_against_the_limit(self, build: str) -> None:
        content = claiming(64, 64, BUILDS[build])
        limits = Limits(max_pixels=5_000)

        with pytest.raises(TooManyPixels, match="whatever its header says"):
            uploads.inspect(content, filename="photo.avif", limits=limits)

    @settings(max_examples=200)
    @given(draw=st.data())
    def test_of_a_damaged_file_is_a_number_or_a_refusal(self, draw: st.DataObject) -> None:
        content = bytearray(BUILDS["moving"])
        for _ in range(draw.draw(st.integers(1, 6))):
            content[draw.draw(st.integers(0, 900))] = draw.draw(st.integers(0, 255))

        try:
            upload = uploads.inspect(bytes(content), filename="photo.avif", limits=Limits())
        except BadUpload:
            return
        assert upload.pixels > 0
