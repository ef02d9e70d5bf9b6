from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from triton_models import images
from triton_models.errors import ImageTooLarge, ImageTooSmall, InvalidParameter, ModelError, UnreadableImage
from triton_models.images import Limits, Picture, decode, encode, inspect, preview
from triton_models.tests.pictures import encoded, opened, pixels

FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF"]
# The orientation tag that says: the top of the scene is at the right edge of the stored pixels.
ROTATED = 6
RED, BLUE = (255, 0, 0), (0, 0, 255)


def red_left_blue_right(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (96, 64), RED)
    image.paste(BLUE, (48, 0, 96, 64))
    return image.convert(mode)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile_with_red_and_green_swapped() -> bytes:
    profile = srgb_profile()
    return profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def with_alpha(shape: tuple[int, int] = (64, 96)) -> Picture:
    rgb = np.full((*shape, 3), 10, np.uint8)
    alpha = np.zeros(shape, np.uint8)
    alpha[:, : shape[1] // 2] = 255
    return Picture(rgb, alpha)


class TestDecode:
    @pytest.mark.parametrize("format_", FORMATS)
    def test_reads_every_promised_format(self, format_: str) -> None:
        picture = decode(encoded(red_left_blue_right(), format_))

        assert (picture.width, picture.height) == (96, 64)
        assert np.abs(picture.rgb[32, 10].astype(int) - RED).max() < 12
        assert np.abs(picture.rgb[32, 86].astype(int) - BLUE).max() < 12

    @pytest.mark.parametrize("format_", ["PPM", "ICO", "TGA", "PCX", "DIB"])
    def test_refuses_every_other_format(self, format_: str) -> None:
        with pytest.raises(UnreadableImage, match="send JPEG, PNG"):
            decode(encoded(red_left_blue_right(), format_))

    @pytest.mark.parametrize("content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff"])
    def test_refuses_what_is_no_image(self, content: bytes) -> None:
        with pytest.raises(UnreadableImage):
            decode(content)

    @pytest.mark.parametrize("format_", FORMATS)
    def test_refuses_the_first_half_of_a_file(self, format_: str, small_photo: Image.Image) -> None:
        whole = encoded(small_photo, format_)

        with pytest.raises(UnreadableImage):
            decode(whole[: len(whole) // 2])

    @pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_turns_the_picture_upright(self, format_: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = ROTATED

        picture = decode(encoded(red_left_blue_right(), format_, exif=exif))

        assert (picture.width, picture.height) == (64, 96)
        assert picture.rgb[10, 32, 0] > 240
        assert picture.rgb[86, 32, 2] > 240

    def test_turns_heic_upright_once_although_the_file_says_so_twice(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = ROTATED
        image = red_left_blue_right()
        # pillow-heif writes the rotation into the container only when it comes this way, as phones write it.
        image.info["exif"] = exif.tobytes()

        picture = decode(encoded(image, "HEIF"))

        assert (picture.width, picture.height) == (64, 96)
        assert picture.rgb[10, 32, 0] > 240

    @pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
    def test_converts_the_colour_profile_to_srgb(self, format_: str) -> None:
        green_by_its_profile = Image.new("RGB", (64, 64), RED)

        picture = decode(encoded(green_by_its_profile, format_, icc_profile=profile_with_red_and_green_swapped()))

        red, green, blue = picture.rgb[32, 32]
        assert green > 245
        assert max(red, blue) < 10

    def test_leaves_srgb_pixels_as_they_are(self, small_photo: Image.Image) -> None:
        picture = decode(encoded(small_photo, "PNG", icc_profile=srgb_profile()))

        assert (picture.rgb == np.asarray(small_photo)).all()

    @pytest.mark.parametrize("profile", [b"no profile", srgb_profile()[:200]])
    def test_takes_pixels_with_a_broken_profile_for_srgb(self, profile: bytes, small_photo: Image.Image) -> None:
        picture = decode(encoded(small_photo, "PNG", icc_profile=profile))

        assert (picture.rgb == np.asarray(small_photo)).all()

    def test_reads_cmyk(self) -> None:
        picture = decode(encoded(red_left_blue_right("CMYK"), "JPEG", quality=95))

        assert np.abs(picture.rgb[32, 10].astype(int) - RED).max() < 12

    def test_reads_cmyk_that_carries_a_profile_for_other_pixels(self) -> None:
        picture = decode(encoded(red_left_blue_right("CMYK"), "TIFF", icc_profile=srgb_profile()))

        assert (picture.rgb[32, 10] == RED).all()

    @pytest.mark.parametrize(("format_", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
    def test_scales_sixteen_bits_instead_of_clipping_them(self, format_: str, mode: str) -> None:
        ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
        image = Image.frombytes(mode, (64, 64), ramp.astype(">u2" if mode.endswith("B") else "<u2").tobytes())

        picture = decode(encoded(image, format_))

        assert picture.gray
        assert np.abs(picture.rgb[0, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1

    @pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 5000.0])
    def test_scales_floats_by_the_range_they_were_written_in(self, white: float) -> None:
        ramp = np.tile(np.linspace(0, white, 64).astype(np.float32), (64, 1))

        picture = decode(encoded(Image.fromarray(ramp), "TIFF"))

        expected = np.linspace(0, 255 if white != 5000.0 else 255 * 5000 / 65535, 64)
        assert np.abs(picture.rgb[0, :, 0].astype(int) - expected).max() <= 1

    def test_refuses_pixels_that_are_not_numbers(self) -> None:
        with pytest.raises(UnreadableImage, match="not numbers"):
            decode(encoded(Image.fromarray(np.full((64, 64), np.nan, np.float32)), "TIFF"))

    @pytest.mark.parametrize("mode", ["1", "L", "LA"])
    def test_remembers_that_there_was_no_colour(self, mode: str, small_photo: Image.Image) -> None:
        picture = decode(encoded(small_photo.convert("L").convert(mode), "PNG"))

        assert picture.gray
        assert (picture.rgb[..., 0] == picture.rgb[..., 2]).all()

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    @pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "AVIF"])
    def test_keeps_transparency_apart(self, mode: str, format_: str) -> None:
        image = red_left_blue_right(mode)
        image.putalpha(77)

        picture = decode(encoded(image, format_))

        assert picture.alpha is not None
        assert (picture.alpha == 77).all()

    def test_reads_the_transparent_colour_of_a_palette(self) -> None:
        image = red_left_blue_right("P")
        blue = image.getpixel((90, 10))

        picture = decode(encoded(image, "GIF", transparency=blue))

        assert picture.alpha is not None
        assert (picture.alpha[10, 10], picture.alpha[10, 90]) == (255, 0)

    @pytest.mark.parametrize(("mode", "key"), [("RGB", BLUE), ("L", 29), ("1", 0)])
    def test_reads_the_transparent_colour_of_a_png(self, mode: str, key: int | tuple[int, ...]) -> None:
        picture = decode(encoded(red_left_blue_right(mode), "PNG", transparency=key))

        assert picture.alpha is not None
        assert picture.alpha[10, 90] == 0

    def test_forgets_transparency_that_is_opaque_everywhere(self) -> None:
        assert decode(encoded(red_left_blue_right("RGBA"), "PNG")).alpha is None

    def test_reads_the_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", (64, 64), color) for color in (RED, BLUE, BLUE)]

        picture = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))

        assert (picture.rgb[10, 10] == RED).all()

    def test_reads_what_phones_write_with_a_second_picture_behind(self) -> None:
        content = encoded(red_left_blue_right(), "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32))])

        picture = decode(content)

        assert (picture.format, picture.width) == ("jpeg", 96)

    @pytest.mark.filterwarnings("ignore")
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(format_=st.sampled_from(FORMATS), draw=st.data())
    def test_survives_any_damage(self, format_: str, draw: st.DataObject, small_photo: Image.Image) -> None:
        content = bytearray(encoded(small_photo, format_))
        for _ in range(draw.draw(st.integers(1, 6))):
            content[draw.draw(st.integers(0, min(len(content) - 1, 400)))] = draw.draw(st.integers(0, 255))

        picture = None
        # Anything but a ModelError is a process that a stranger could take down.
        with contextlib.suppress(ModelError):
            picture = decode(bytes(content))

        assert picture is None or picture.rgb.shape == (picture.height, picture.width, 3)

    def test_refuses_a_palette_that_is_not_there(self) -> None:
        palette = encoded(red_left_blue_right("P"), "PNG")
        start, end = palette.index(b"PLTE") - 4, palette.index(b"IDAT") - 4

        with pytest.raises(UnreadableImage):
            decode(palette[:start] + palette[end:])


class TestInspect:
    def test_tells_format_and_size_without_decoding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ImageFile.ImageFile, "load", None)

        header = inspect(png_that_claims(300, 200))

        assert (header.format, header.width, header.height) == ("png", 300, 200)

    def test_refuses_a_bomb_without_decoding_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ImageFile.ImageFile, "load", None)

        with pytest.raises(ImageTooLarge, match=r"84 megapixels \(12000 x 7000\); 50 are allowed"):
            decode(png_that_claims(12_000, 7_000))

    @pytest.mark.parametrize("side", [10_000, 20_000])
    def test_refuses_what_pillow_itself_calls_a_bomb(self, side: int) -> None:
        with pytest.raises(ImageTooLarge, match="more than the 50 megapixels"):
            inspect(png_that_claims(side, side))

    def test_refuses_a_side_that_is_too_long_or_too_short(self) -> None:
        with pytest.raises(ImageTooLarge, match="a side may have 20000 pixels"):
            inspect(png_that_claims(20_001, 40))
        with pytest.raises(ImageTooSmall, match="a side must have 32 pixels"):
            inspect(png_that_claims(400, 31))

    def test_takes_other_limits(self) -> None:
        with pytest.raises(ImageTooLarge, match=r"0\.01 megapixels \(100 x 100\); 0\.005 are allowed"):
            inspect(png_that_claims(100, 100), Limits(pixels=5_000))

    def test_refuses_a_header_without_the_pixels_it_promises(self) -> None:
        with pytest.raises(UnreadableImage):
            decode(png_that_claims(3_000, 2_000))


class TestEncode:
    @pytest.mark.parametrize(
        ("source", "alpha", "chosen"),
        [
            ("jpeg", False, "jpeg"),
            ("webp", False, "webp"),
            ("png", False, "png"),
            ("heic", False, "png"),
            ("tiff", False, "png"),
            ("webp", True, "png"),
            ("jpeg", True, "png"),
        ],
    )
    def test_chooses_the_format_by_source_and_transparency(self, source: str, alpha: bool, chosen: str) -> None:  # noqa: FBT001 - a case
        picture = with_alpha()

        made = encode(Picture(picture.rgb, picture.alpha if alpha else None, format=source))

        assert made.format == chosen
        assert opened(made.data).format == chosen.upper()

    @pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
    def test_writes_pixels_and_a_srgb_profile_and_nothing_else(self, format_: str, small_photo: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x010E] = "SECRET in the description"
        exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.0)}
        source = encoded(small_photo, "JPEG", exif=exif, comment="SECRET comment", xmp=b"<x>SECRET packet</x>")

        content = encode(decode(source), format=format_).data

        made = opened(content)
        assert b"SECRET" not in content
        assert not made.getexif()
        profile = ImageCms.ImageCmsProfile(io.BytesIO(made.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)

    @pytest.mark.parametrize("format_", ["png", "webp"])
    def test_keeps_transparency(self, format_: str) -> None:
        picture = with_alpha()

        made = opened(encode(picture, format=format_).data)

        assert made.mode == "RGBA"
        assert (np.asarray(made.getchannel("A")) == picture.alpha).all()

    def test_lays_transparency_on_white_for_jpeg(self) -> None:
        made = pixels(encode(with_alpha(), format="jpeg").data)

        assert made[32, 90].min() > 250
        assert made[32, 5].max() < 20

    def test_lays_transparency_on_the_colour_asked_for(self) -> None:
        made = pixels(encode(with_alpha(), format="jpeg", background=RED).data)

        assert made[32, 90, 0] > 245
        assert made[32, 90, 1] < 10

    @pytest.mark.parametrize(("format_", "mode"), [("png", "L"), ("jpeg", "L"), ("webp", "RGB")])
    def test_writes_gray_as_gray_where_the_format_can(self, format_: str, mode: str) -> None:
        gray = Picture(np.full((64, 64, 3), 99, np.uint8), gray=True)

        made = opened(encode(gray, format=format_).data)

        assert made.mode == mode
        assert abs(int(np.asarray(made).flat[0]) - 99) <= 1

    def test_gives_better_pictures_for_higher_quality(self, small_photo: Image.Image) -> None:
        picture = Picture(np.asarray(small_photo))
        sizes = [len(encode(picture, format="jpeg", quality=quality).data) for quality in (20, 60, 95)]

        assert sizes == sorted(sizes)

    def test_writes_the_same_bytes_for_the_same_pixels(self, small_photo: Image.Image) -> None:
        profile = opened(encode(Picture(np.asarray(small_photo)), format="png").data).info["icc_profile"]

        assert profile[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)

    def test_refuses_a_side_that_the_format_cannot_hold(self) -> None:
        wide = Picture(np.zeros((1, 16_384, 3), np.uint8), format="webp")

        with pytest.raises(InvalidParameter, match="does not fit in webp"):
            encode(wide, format="webp")
        assert encode(wide, format="auto").format == "png"

    def test_refuses_a_format_that_we_do_not_write(self) -> None:
        with pytest.raises(InvalidParameter, match="'gif' is not one we write"):
            encode(with_alpha(), format="gif")


class TestPreview:
    def test_is_small_even_of_noise(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)

        shown = preview(Picture(noise))

        assert len(shown) <= 16 * 1024
        assert opened(shown).format == "JPEG"

    def test_shows_the_whole_picture_in_its_proportions(self, astronaut: Image.Image) -> None:
        shown = opened(preview(Picture(np.asarray(astronaut)[:256])))

        assert shown.width == pytest.approx(2 * shown.height, abs=2)
        assert shown.width >= 200

    def test_lays_transparency_on_white(self) -> None:
        shown = pixels(preview(with_alpha((640, 960))))

        assert shown[:, -10:].min() > 245


class TestFlatten:
    def test_blends_in_proportion(self) -> None:
        half = Picture(np.zeros((32, 32, 3), np.uint8), np.full((32, 32), 128, np.uint8))

        assert np.abs(images.flatten(half, (255, 255, 255)).rgb.astype(int) - 127).max() <= 1
