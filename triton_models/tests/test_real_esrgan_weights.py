"""Real-ESRGAN with its true weights, on small photographs: seconds of a processor each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import ncnn
import numpy as np
import pytest
from PIL import Image

from triton_models import weights
from triton_models.engines import OPERATIONS, choose, load_engines, real_esrgan
from triton_models.errors import EngineUnavailable
from triton_models.images import Picture
from triton_models.parameters import Parameters
from triton_models.pipeline import Pipeline
from triton_models.progress import Watch
from triton_models.tests.pictures import run as send
from triton_models.tests.test_upscale_light import detail, likeness, psnr, reduced
from triton_models.tests.tiny_networks import save_checkpoint, save_real_esrgan, tiny_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from triton_models.engines.real_esrgan import RealEsrgan


@pytest.fixture(scope="module")
def upscaler(x4plus_volume: Path) -> RealEsrgan:
    return real_esrgan.load(x4plus_volume, threads=2)


@pytest.fixture(scope="module")
def photograph(astronaut: Image.Image) -> Image.Image:
    """A face, 256 x 192."""
    return astronaut.crop((128, 16, 384, 208))


def run(upscaler: RealEsrgan, pixels: NDArray[np.uint8], largest: int = 448) -> NDArray[np.uint8]:
    upscaler.room.now = largest
    watch = Watch(lambda _fraction, _preview: None, lambda: False)
    return upscaler.run(Picture(pixels), Parameters(), watch).picture.rgb


def through_ncnn(folder: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What PyPI's ncnn makes of the very same files."""
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 2
    assert net.load_param(str(folder / "realesrgan-x4plus.param")) == 0
    assert net.load_model(str(folder / "realesrgan-x4plus.bin")) == 0
    # ncnn.Mat keeps no reference to the array that it looks at.
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(planes))
    status, answer = extractor.extract("output")
    assert status == 0
    return np.rint(np.array(answer).clip(0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)


class TestTheTrueWeights:
    def test_give_what_ncnn_makes_of_the_same_files(
        self,
        upscaler: RealEsrgan,
        x4plus_volume: Path,
        photograph: Image.Image,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pixels = np.asarray(reduced(photograph, 4))
        # Colours are put right afterwards; here it is about what comes out of the network.
        monkeypatch.setattr(real_esrgan.quality, "match_low_band", lambda made, _source: made)

        made, expected = run(upscaler, pixels), through_ncnn(x4plus_volume / real_esrgan.NCNN, pixels)

        assert pixels.shape == (48, 64, 3)
        assert psnr(made, expected) > 60

    def test_give_the_same_in_tiles_as_in_one_piece(self, upscaler: RealEsrgan, astronaut: Image.Image) -> None:
        pixels = np.asarray(astronaut)[100:140, 180:292]

        whole, tiled = run(upscaler, pixels), run(upscaler, pixels, largest=96)

        assert psnr(whole, tiled) > 53

    def test_draw_detail_that_is_there_in_truth(self, upscaler: RealEsrgan, photograph: Image.Image) -> None:
        small = reduced(photograph, 4)
        lanczos = detail(small.resize(photograph.size, Image.Resampling.LANCZOS), small)
        truth = detail(photograph, small)

        drawn = detail(Image.fromarray(run(upscaler, np.asarray(small))), small)

        assert likeness(truth, drawn) >= 1.05 * likeness(truth, lanczos)
        assert drawn.std() >= 2 * lanczos.std()


@pytest.fixture
def tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model volume with a tiny network in place of the authors' file."""
    save_real_esrgan(tmp_path / "models", tmp_path / "tiny.lock")
    monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(tmp_path / "tiny.lock"))
    return tmp_path / "models"


class TestLoading:
    def test_takes_ncnns_files_where_the_authors_is_missing(self, upscaler: RealEsrgan) -> None:
        assert upscaler.weights_sha256 == weights.read_lock()[real_esrgan.NCNN].weights_sha256

    def test_takes_the_authors_file_where_it_is_there(self, x4plus_volume: Path, tiny_models: Path) -> None:
        shutil.copytree(x4plus_volume / real_esrgan.NCNN, tiny_models / real_esrgan.NCNN)

        loaded = real_esrgan.load(tiny_models, threads=1)

        assert loaded.weights_sha256 == weights.read_lock()[real_esrgan.CHECKPOINT].weights_sha256

    def test_names_the_file_that_was_swapped_even_if_ncnns_are_right(
        self, x4plus_volume: Path, tiny_models: Path
    ) -> None:
        shutil.copytree(x4plus_volume / real_esrgan.NCNN, tiny_models / real_esrgan.NCNN)
        save_checkpoint(tiny_network(seed=1), tiny_models / "realesrgan-x4plus/RealESRGAN_x4plus.pth")

        with pytest.raises(EngineUnavailable, match=r"realesrgan-x4plus/RealESRGAN_x4plus\.pth is not the file that"):
            real_esrgan.load(tiny_models, threads=1)

    def test_says_what_is_missing_where_there_is_neither(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"RealESRGAN_x4plus\.pth is missing"):
            real_esrgan.load(tmp_path, threads=1)

    def test_puts_it_behind_the_light_engine_on_a_processor(self, volume: Path, tiny_models: Path) -> None:
        shutil.copytree(volume / "realesr-animevideov3", tiny_models / "realesr-animevideov3")
        operation = OPERATIONS["upscale"]

        loaded = load_engines(operation, tiny_models)

        assert choose(operation, loaded, Parameters()).name == "realesr-animevideov3"
        assert choose(operation, loaded, Parameters(engine="realesrgan-x4plus")).name == "realesrgan-x4plus"

    def test_takes_one_request_from_file_to_file(
        self, volume: Path, tiny_models: Path, small_photo: Image.Image
    ) -> None:
        shutil.copytree(volume / "realesr-animevideov3", tiny_models / "realesr-animevideov3")

        result = send(
            Pipeline.load("upscale", tiny_models), small_photo, scale=2, options={"engine": "realesrgan-x4plus"}
        )

        assert (result.width, result.height) == (192, 128)
        assert result.info["engine"]["name"] == "realesrgan-x4plus"
        assert result.info["device"] == {"kind": "cpu", "name": "CPU", "precision": "fp32"}
        assert {"reduced_psnr_db", "raw_color_shift_mean", "color_shift_mean"} <= result.info["checks"].keys()
