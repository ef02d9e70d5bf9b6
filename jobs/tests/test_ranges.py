"""Looking at a file that is somewhere else: the same answers as for its bytes, of which few are fetched."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs import ranges, uploads
from jobs.errors import IncompleteImage, NotAnImage
from jobs.operations import Limits
from jobs.ranges import RangedBytes

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 2**20


def ranged(content: bytes) -> RangedBytes:
    return RangedBytes(lambda start, end: content[start:end], len(content))


def noise(kind: str, side: int = 1500, **options: Any) -> bytes:
    """Return a picture that cannot be packed: megabytes in every format."""
    file = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def inspect(content: Any) -> tuple[int, int, str]:
    upload = uploads.inspect(content, filename="photo", limits=Limits())
    return upload.width, upload.height, upload.format


class TestRangedBytes:
    @given(st.lists(st.tuples(st.integers(-5, 3_000), st.integers(-5, 3_000)), max_size=20))
    def test_have_the_slices_of_the_bytes(self, slices: list[tuple[int, int]]) -> None:
        content = bytes(range(256)) * 8
        far = ranged(content)

        assert [far[start:end] for start, end in slices] == [content[start:end] for start, end in slices]

    def test_are_read_again_by_none_who_stays_near(self) -> None:
        far = ranged(bytes(8 * MEGABYTE))

        for position in range(0, 8 * MEGABYTE, 1000):
            assert len(far[position : position + 8]) == 8

        assert far.fetched < 9 * MEGABYTE

    @given(st.integers(0, 40_000), st.integers(0, 40_000))
    def test_are_searched_as_the_bytes_are(self, place: int, start: int) -> None:
        content = bytes(place) + b"\xff\xd9" + bytes(40_000 - place)

        assert ranges.find(re.compile(rb"\xff[^\x00]"), ranged(content), start) == (
            (place, b"\xff\xd9") if start <= place else None
        )
        assert ranges.rfind(b"\xff\xd9", ranged(content)) == place
        assert ranges.rfind(b"\xff\xd8", ranged(content)) == -1


class TestAFileElsewhere:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("PNG", {"compress_level": 0}),
            ("WEBP", {"quality": 100}),
            ("TIFF", {}),
            ("BMP", {}),
            ("GIF", {}),
            ("AVIF", {"quality": 90}),
        ],
        ids=str,
    )
    def test_is_told_as_its_bytes_are_and_a_cut_one_too(self, kind: str, options: dict[str, Any]) -> None:
        content = noise(kind, 600, **options)

        assert inspect(ranged(content)) == inspect(content)
        for cut in (len(content) // 2, len(content) - 3):
            assert self.verdict(ranged(content[:cut])) == self.verdict(content[:cut])

    def verdict(self, content: Any) -> str:
        try:
            return str(inspect(content))
        except (IncompleteImage, NotAnImage) as error:
            return error.code

    @pytest.mark.parametrize(
        ("make", "most"),
        [
            (lambda: noise("TIFF", 3000), MEGABYTE),
            (lambda: noise("BMP", 3000), MEGABYTE),
        ],
        ids=["tiff", "bmp"],
    )
    def test_of_a_format_with_a_table_of_contents_is_hardly_fetched(self, make: Callable[[], bytes], most: int) -> None:
        content = make()
        far = ranged(content)

        inspect(far)

        assert len(content) > 3 * most
        assert far.fetched <= most

    @pytest.mark.parametrize(
        ("kind", "options"),
        [("JPEG", {"quality": 100}), ("JPEG", {"quality": 100, "progressive": True}), ("PNG", {"compress_level": 0})],
        ids=str,
    )
    def test_whose_parts_follow_one_another_passes_through_about_once(self, kind: str, options: dict[str, Any]) -> None:
        content = noise(kind, 3000, **options)
        far = ranged(content)

        inspect(far)

        assert far.fetched < 1.3 * len(content)
