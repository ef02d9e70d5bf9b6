from __future__ import annotations

import struct

import pytest
from PIL import ExifTags, Image

from triton_models.images import decode, encode
from triton_models.tests.pictures import encoded, opened

ARTIST, COPYRIGHT, ORIENTATION, MODEL = 0x013B, 0x8298, 0x0112, 0x0110
EXPOSURE, COLOR_SPACE, PIXEL_WIDTH, MAKER_NOTE = 0x829A, 0xA001, 0xA002, 0x927C
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="Harbour">'
    b"<xmp:Thumbnails><rdf:Alt>OLD PIXELS</rdf:Alt></xmp:Thumbnails></rdf:Description></x:xmpmeta>"
)


def photograph(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[ARTIST], exif[COPYRIGHT], exif[ORIENTATION], exif[MODEL] = "Ada", "© Ada", 6, "Box camera"
    exif[ExifTags.IFD.Exif] = {EXPOSURE: 0.01, COLOR_SPACE: 65535, PIXEL_WIDTH: 9999, MAKER_NOTE: b"OLD PREVIEW"}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (51.0, 30.0, 0.0)}
    return encoded(image, "JPEG", exif=exif, xmp=XMP)


class TestMetadata:
    @pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
    def test_is_kept_when_asked_for(self, format_: str, small_photo: Image.Image) -> None:
        made = opened(encode(decode(photograph(small_photo)), format=format_, metadata="keep").data)

        exif = made.getexif()
        assert (exif[ARTIST], exif[MODEL]) == ("Ada", "Box camera")
        assert exif.get_ifd(ExifTags.IFD.Exif)[EXPOSURE] == pytest.approx(0.01)
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
        assert b"Harbour" in (made.info.get("xmp") or made.info["XML:com.adobe.xmp"].encode())

    @pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
    def test_never_speaks_of_the_old_pixels(self, format_: str, small_photo: Image.Image) -> None:
        content = encode(decode(photograph(small_photo)), format=format_, metadata="keep").data

        exif = opened(content).getexif()
        assert ORIENTATION not in exif
        assert exif.get_ifd(ExifTags.IFD.Exif)[PIXEL_WIDTH] == small_photo.height
        assert exif.get_ifd(ExifTags.IFD.Exif)[COLOR_SPACE] == 1
        assert b"OLD" not in content

    def test_of_a_tiff_does_not_take_the_layout_of_its_strips_along(self, small_photo: Image.Image) -> None:
        source = encoded(small_photo, "TIFF", tiffinfo={ARTIST: "Ada"})

        made = opened(encode(decode(source), format="png", metadata="keep").data)

        assert made.getexif()[ARTIST] == "Ada"
        assert 0x0111 not in made.getexif()

    @pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
    def test_is_no_more_than_the_names_for_copyright(self, format_: str, small_photo: Image.Image) -> None:
        made = opened(encode(decode(photograph(small_photo)), format=format_, metadata="copyright").data)

        assert dict(made.getexif()).keys() == {ARTIST, COPYRIGHT}
        assert "xmp" not in made.info

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    @pytest.mark.parametrize("block", [b"Exif\x00\x00garbage", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"])
    def test_that_is_broken_is_left_out(self, block: bytes, small_photo: Image.Image) -> None:
        picture = decode(encoded(small_photo, "JPEG", exif=block))

        made = opened(encode(picture, format="jpeg", metadata="keep").data)

        assert not made.getexif()

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_that_is_huge_is_left_out_and_the_picture_stands_upright_all_the_same(
        self, order: str, small_photo: Image.Image
    ) -> None:
        fractions = 300_000
        tags = [(ORIENTATION, 3, 1, 6 if order == "<" else 6 << 16), (ExifTags.IFD.Exif, 4, 1, 38)]
        inner = [(EXPOSURE, 5, fractions, 56)]
        block = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
        for entries in (tags, inner):
            block += struct.pack(order + "H", len(entries))
            block += b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4)

        picture = decode(encoded(small_photo, "PNG", exif=b"Exif\0\0" + block + bytes(8 * fractions)))

        assert (picture.width, picture.height) == (small_photo.height, small_photo.width)
        assert picture.metadata.capture_tags == {}
