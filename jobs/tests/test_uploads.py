from __future__ import annotations

import io
import resource
import struct
import zlib
from typing import Any

import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from jobs import uploads
from jobs.errors import (
    BadFilename,
    BadSide,
    BadUpload,
    EmptyFile,
    FileTooLarge,
    IncompleteImage,
    InvalidParameters,
    NotAnImage,
    TooManyPixels,
)
from jobs.operations import UPSCALE, Limits
from jobs.tests.conftest import png

LIMITS = Limits()
PHOTO = Image.fromarray(data.coffee()).resize((120, 80))
EVERY_FORMAT = pytest.mark.parametrize("kind", uploads.FORMATS)
pillow_heif.register_heif_opener()


def encoded(kind: str, picture: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def inspect(content: bytes, filename: str = "photo.png") -> uploads.Upload:
    return uploads.inspect(content, filename=filename, limits=LIMITS)


class TestAPhoto:
    @EVERY_FORMAT
    def test_of_each_format_is_taken_with_its_size(self, kind: str) -> None:
        upload = inspect(encoded(kind))

        assert (upload.width, upload.height, upload.format) == (120, 80, kind.lower())

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_measured_upright(self, kind: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation

        upload = inspect(encoded(kind, exif=exif.tobytes()))

        turned = orientation >= 5
        assert (upload.width, upload.height) == ((80, 120) if turned else (120, 80))

    def test_with_something_behind_its_end_is_still_a_photo(self) -> None:
        assert inspect(encoded("JPEG") + b"a motion photo's film").format == "jpeg"

    @pytest.mark.parametrize("others", [1, 2])
    def test_of_a_phone_that_adds_more_pictures_is_a_jpeg(self, others: int) -> None:
        # Depth maps, gain maps and previews: the library calls such a file MPO.
        content = encoded("MPO", save_all=True, append_images=[PHOTO.rotate(90)] * others)

        upload = inspect(content)

        assert (upload.width, upload.height, upload.format) == (120, 80, "jpeg")

    def test_with_padding_where_its_format_allows_some_is_a_photo(self) -> None:
        jpeg, gif = encoded("JPEG"), encoded("GIF")

        assert inspect(jpeg[:2] + b"\xff\xff\xff" + jpeg[2:]).format == "jpeg"
        assert inspect(gif[:-1] + b"\0\0;").format == "gif"

    @pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
    def test_of_any_mode_is_taken(self, mode: str) -> None:
        picture = Image.new(mode, (64, 48))

        assert inspect(encoded("PNG", picture)).width == 64


def packed_bmp(width: int, height: int) -> bytes:
    """Return a BMP of packed rows, which the library reads and does not write."""
    pixels = (bytes([width, 1]) + b"\0\0") * height + b"\0\1"
    palette = bytes(1024)
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + palette + pixels


TURNED = PHOTO.rotate(90)
# How a file of a format may be built inside, where that moves its last bytes about.
BUILDS: dict[str, bytes] = {
    **{kind.lower(): encoded(kind) for kind in uploads.FORMATS},
    "progressive jpeg": encoded("JPEG", progressive=True),
    "jpeg with restarts": encoded("JPEG", restart_marker_blocks=4),
    "png with a palette": encoded("PNG", PHOTO.convert("P")),
    "lossless webp": encoded("WEBP", lossless=True),
    "moving webp": encoded("WEBP", save_all=True, append_images=[TURNED]),
    "moving gif": encoded("GIF", save_all=True, append_images=[TURNED]),
    "bmp of odd sides": encoded("BMP", PHOTO.resize((121, 81))),
    "bmp of two colours": encoded("BMP", PHOTO.convert("1")),
    "packed bmp": packed_bmp(120, 80),
    "avif with alpha": encoded("AVIF", PHOTO.convert("RGBA")),
    "big tiff": encoded("TIFF", big_tiff=True),
    "lzw tiff": encoded("TIFF", compression="tiff_lzw"),
    "jpeg in tiff": encoded("TIFF", compression="jpeg"),
    "tiff with a profile": encoded("TIFF", compression="tiff_lzw", icc_profile=bytes(600)),
}


class TestATruncatedFile:
    @pytest.mark.parametrize("build", BUILDS)
    def test_is_refused_wherever_it_was_cut(self, build: str) -> None:
        content = BUILDS[build]
        cuts = {*range(0, len(content), max(1, len(content) // 200)), *range(len(content) - 32, len(content))}

        assert inspect(content)
        for cut in sorted(cuts):
            with pytest.raises((IncompleteImage, NotAnImage, EmptyFile)):
                inspect(content[:cut])

    def test_is_a_gif_that_stops_where_its_pixels_look_like_an_end(self) -> None:
        content = encoded("GIF")
        cuts = [position + 1 for position in range(800, len(content) - 1) if content[position] == ord(";")]

        assert cuts
        for cut in cuts:
            with pytest.raises(IncompleteImage):
                inspect(content[:cut])

    def test_is_a_packed_bmp_without_a_pixel_that_does_not_say_how_many_it_had(self) -> None:
        content = bytearray(packed_bmp(120, 80))
        content[34:38] = bytes(4)

        assert inspect(bytes(content)).format == "bmp"
        with pytest.raises(IncompleteImage):
            inspect(bytes(content[: 54 + 1024]))

    def test_is_not_saved_by_the_end_of_its_thumbnail(self) -> None:
        thumbnail = encoded("JPEG", PHOTO.resize((60, 40)))
        whole = encoded("JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        with_thumbnail = whole[:2] + segment + whole[2:]

        assert inspect(with_thumbnail).width == 120
        with pytest.raises(IncompleteImage):
            inspect(with_thumbnail[: len(with_thumbnail) - 500])


class TestWhatIsNoPhoto:
    @pytest.mark.parametrize(
        "content",
        [
            b"x",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<!doctype html><script>alert(1)</script>",
            b"%PDF-1.7\n",
            b"PK\x03\x04" + bytes(100),
            b"\x89PNG\r\n\x1a\n" + bytes(64),
            b"\xff\xd8\xff\xe0" + bytes(64),
            b"GIF89a" + bytes(20),
            b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(16),
        ],
    )
    def test_is_refused_with_what_we_take(self, content: bytes) -> None:
        with pytest.raises(BadUpload) as refusal:
            inspect(content)

        assert isinstance(refusal.value, NotAnImage | IncompleteImage | BadSide)

    def test_is_an_empty_file(self) -> None:
        with pytest.raises(EmptyFile):
            inspect(b"")

    @pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "PCX"])
    def test_is_another_format_that_the_library_could_read(self, kind: str) -> None:
        with pytest.raises(NotAnImage):
            inspect(encoded(kind, PHOTO.convert("RGB")))

    @pytest.mark.parametrize("tag", [273, 279])
    def test_is_a_tiff_whose_pixels_lie_at_no_number(self, tag: int) -> None:
        content = bytearray(encoded("TIFF"))
        entry = content.index(struct.pack("<HHI", tag, 4, 1))
        content[entry + 2 : entry + 4] = struct.pack("<H", 7)

        with pytest.raises(NotAnImage):
            inspect(bytes(content))

    @pytest.mark.parametrize("entries", [600, 65_535])
    def test_is_a_tiff_that_announces_more_than_it_has(self, entries: int) -> None:
        content = bytearray(encoded("TIFF", PHOTO.resize((32, 32))))
        (start,) = struct.unpack_from("<I", content, 4)
        struct.pack_into("<H", content, start, entries)

        with pytest.raises((NotAnImage, IncompleteImage)):
            inspect(bytes(content))

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(uploads.FORMATS), st.integers(0, 10**6), st.binary(min_size=1, max_size=12))
    def test_never_raises_anything_but_a_refusal(self, kind: str, where: int, noise: bytes) -> None:
        content = bytearray(_SMALL[kind])
        start = where % len(content)
        content[start : start + len(noise)] = noise

        try:
            inspect(bytes(content))
        except BadUpload:
            return

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(uploads.FORMATS), st.integers(0, 10**6), st.integers(0, 40), st.binary(max_size=12))
    def test_never_raises_anything_but_a_refusal_for_bytes_lost_or_added(
        self, kind: str, where: int, lost: int, added: bytes
    ) -> None:
        content = _SMALL[kind]
        start = where % len(content)

        try:
            inspect(content[:start] + added + content[start + lost :])
        except BadUpload:
            return

    @given(st.binary(max_size=300))
    def test_never_raises_for_random_bytes(self, content: bytes) -> None:
        with pytest.raises(BadUpload):
            inspect(content)


_SMALL = {kind: encoded(kind, PHOTO.resize((40, 36))) for kind in uploads.FORMATS}


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def bmp_header(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 118, 0, 0, 54) + header + bytes(64)


def tiff_header(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(200)


class TestLimits:
    @pytest.mark.parametrize("side", [8_000, 100_000, 2**31 - 1])
    @pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
    def test_refuse_a_bomb_by_its_header(self, kind: str, side: int) -> None:
        bomb = {"png": png_header, "bmp": bmp_header, "tiff": tiff_header}[kind](side, side)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        with pytest.raises((TooManyPixels, NotAnImage)):
            inspect(bomb)

        # In kilobytes; the smallest of these has 192 MB of pixels.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000

    def test_refuse_a_gif_bomb_by_its_header(self) -> None:
        with pytest.raises((TooManyPixels, NotAnImage)):
            inspect(b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(3) + b",;")

    def test_say_both_numbers_of_pixels(self) -> None:
        with pytest.raises(TooManyPixels, match=r"51\.0 megapixels; at most 50 "):
            inspect(png_header(10_000, 5_100))

    def test_round_up_so_that_one_row_too_many_does_not_read_as_none(self) -> None:
        with pytest.raises(TooManyPixels, match=r"50\.1 megapixels; at most 50 "):
            inspect(png_header(10_000, 5_001))

    def test_let_fifty_megapixels_in(self) -> None:
        assert inspect(png_header(10_000, 5_000)).pixels == 50_000_000

    def test_say_both_numbers_of_bytes(self) -> None:
        with pytest.raises(FileTooLarge, match=r"31\.0 MB; at most 30 MB"):
            uploads.check_size(31 * 2**20, limits=LIMITS)

    def test_say_one_byte_too_many_as_more_than_allowed(self) -> None:
        with pytest.raises(FileTooLarge, match=r"30\.1 MB; at most 30 MB"):
            inspect(bytes(30 * 2**20 + 1))

    def test_let_a_file_of_exactly_thirty_megabytes_in(self) -> None:
        assert inspect(encoded("JPEG").ljust(30 * 2**20, b"\0")).format == "jpeg"

    @pytest.mark.parametrize(("width", "height"), [(31, 100), (100, 31), (20_001, 40), (40, 20_001)])
    def test_refuse_a_side_and_name_it(self, width: int, height: int) -> None:
        with pytest.raises(BadSide, match=f"{width:,} x {height:,}"):
            inspect(png_header(width, height))

    @pytest.mark.parametrize(("width", "height"), [(32, 32), (20_000, 32)])
    def test_let_the_extremes_in(self, width: int, height: int) -> None:
        assert inspect(png_header(width, height)).width == width

    @pytest.mark.parametrize(("width", "height", "scale"), [(2_000, 2_000, 4), (4_000, 4_000, 2)])
    def test_of_the_result_let_the_promise_in(self, width: int, height: int, scale: int) -> None:
        upload = inspect(png_header(width, height))

        uploads.check_output(upload, operation=UPSCALE, params={"scale": scale}, limits=LIMITS)

    @pytest.mark.parametrize(("width", "height", "scale"), [(2_001, 2_000, 4), (4_001, 4_000, 2)])
    def test_of_the_result_name_both_numbers(self, width: int, height: int, scale: int) -> None:
        upload = inspect(png_header(width, height))

        with pytest.raises(TooManyPixels, match=r"64\.1 megapixels; at most 64 "):
            uploads.check_output(upload, operation=UPSCALE, params={"scale": scale}, limits=LIMITS)

    @pytest.mark.parametrize(("format_", "width", "most"), [("webp", 4_096, "16,383"), ("jpeg", 20_000, "65,500")])
    def test_of_a_format_are_those_of_a_parameter(self, format_: str, width: int, most: str) -> None:
        upload = inspect(png_header(width, 32))

        with pytest.raises(InvalidParameters) as refusal:
            uploads.check_output(upload, operation=UPSCALE, params={"scale": 4, "format": format_}, limits=LIMITS)

        assert f"{width * 4:,} x 128 pixels" in refusal.value.errors["format"][0]
        assert f"at most {most} on a side" in refusal.value.errors["format"][0]

    @pytest.mark.parametrize("format_", ["auto", "png"])
    def test_of_other_formats_do_not_matter(self, format_: str) -> None:
        upload = inspect(png_header(20_000, 32))

        uploads.check_output(upload, operation=UPSCALE, params={"scale": 4, "format": format_}, limits=LIMITS)


class TestAFilename:
    @pytest.mark.parametrize(
        "name", ["a/b.png", "..\\a.png", "/etc/passwd", "..", ".", "", "a\nb.png", "a\x00.png", "x" * 300]
    )
    def test_that_is_a_path_too_long_or_unprintable_is_refused(self, name: str) -> None:
        with pytest.raises(BadFilename):
            inspect(png(), filename=name)

    @pytest.mark.parametrize(
        "name", ["a.png", "Bildschirmfoto um 3.04.05\u202fPM.png", "слон 🐘.jpg", "x" * 200, 'a"b.png']
    )
    def test_that_people_really_have_is_taken(self, name: str) -> None:
        assert inspect(png(), filename=name).filename == name
