from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_models.errors import EngineUnavailable
from triton_models.networks.ncnn_weights import read_convolutions
from triton_models.tests.tiny_networks import FLOAT16_TAG, FLOAT32_TAG, save_ncnn, tiny_network

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "7767517\n2 2\nInput data 0 1 data\n"
# An odd number of weights, so that the halves are padded.
LAYER = "Convolution conv 1 1 data output 0=3 1=1 5=1 6=3\n"
WEIGHTS, BIAS = np.array([1, -2, 0.5], "<f2"), np.array([0.25, 0, 4], "<f4")
BINARY = FLOAT16_TAG + WEIGHTS.tobytes() + bytes(2) + BIAS.tobytes()


def files(folder: Path, param: str = HEAD + LAYER, binary: bytes = BINARY) -> tuple[Path, Path]:
    (folder / "net.param").write_text(param)
    (folder / "net.bin").write_bytes(binary)
    return folder / "net.param", folder / "net.bin"


class TestReadConvolutions:
    def test_reads_halves_with_their_padding(self, tmp_path: Path) -> None:
        (convolution,) = read_convolutions(*files(tmp_path))

        assert convolution.weights.shape == (3, 1, 1, 1)
        assert convolution.weights.ravel().tolist() == [1, -2, 0.5]
        assert convolution.bias.tolist() == [0.25, 0, 4]

    def test_reads_whole_floats_and_layers_without_a_bias(self, tmp_path: Path) -> None:
        layer = LAYER.replace(" 5=1", "")
        binary = FLOAT32_TAG + WEIGHTS.astype("<f4").tobytes()

        (convolution,) = read_convolutions(*files(tmp_path, HEAD + layer, binary))

        assert convolution.weights.ravel().tolist() == [1, -2, 0.5]
        assert convolution.bias.tolist() == [0, 0, 0]

    def test_gives_back_what_was_written(self, tmp_path: Path) -> None:
        network = tiny_network()

        found = read_convolutions(*save_ncnn(network, tmp_path, half=False))

        assert len(found) == 21
        assert (found[0].weights == network.conv_first.weight.numpy()).all()
        assert (found[-1].bias == network.conv_last.bias.numpy()).all()

    @pytest.mark.parametrize("length", range(len(BINARY)))
    def test_refuses_a_file_that_ends_too_early_wherever_it_ends(self, length: int, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"net\.bin cannot be used: it ends inside conv, \d+ bytes"):
            read_convolutions(*files(tmp_path, binary=BINARY[:length]))

    def test_refuses_a_file_that_goes_on(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"net\.bin cannot be used: 3 bytes are left over"):
            read_convolutions(*files(tmp_path, binary=BINARY + b"abc"))

    def test_refuses_a_kind_of_number_that_it_does_not_know(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match="tag 0x000d4b38"):
            read_convolutions(*files(tmp_path, binary=(0x000D4B38).to_bytes(4, "little") + BINARY[4:]))

    @pytest.mark.parametrize(
        ("param", "sentence"),
        [
            ("", "does not begin with 7767517"),
            ("7767517", "does not begin with 7767517"),
            ("7767517\n\n", "announces no layers"),
            ("7767517\n3 2\nInput data 0 1 data\n" + LAYER, "announces 3 layers and has 2"),
            (HEAD + "Convolution conv 1\n", "is no layer"),
            (HEAD + "Convolution conv one 1 data output\n", "is no layer"),
            (HEAD + "Convolution conv 1 1 data output 0\n", "is no layer"),
            (HEAD + "Convolution conv 9 9 data output 0=3 1=1 6=3\n", "has 0 weights for 0 outputs"),
            (HEAD + LAYER.replace("6=3", "6=4"), "has 4 weights for 3 outputs of 1 x 1"),
            (HEAD + LAYER.replace("6=3", "6=-3"), "has -3 weights"),
            (HEAD + LAYER.replace("0=3", "0=0"), "has 3 weights for 0 outputs"),
            (HEAD + LAYER.strip() + " 8=2\n", "weights of 8 bits"),
            (HEAD + "BatchNorm norm 1 1 data output 0=3\n", "norm is a BatchNorm, which is not read here"),
            (HEAD + LAYER.replace("conv", "cönv"), "it is no text"),
        ],
    )
    def test_says_what_is_wrong_with_a_param_file(self, param: str, sentence: str, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=rf"net\.param cannot be used: .*{sentence}"):
            read_convolutions(*files(tmp_path, param))

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(HEAD + LAYER) - 1), letter=st.characters(codec="ascii"))
    def test_reads_or_refuses_but_never_fails_otherwise(self, place: int, letter: str, tmp_path: Path) -> None:
        text = HEAD + LAYER

        try:
            read_convolutions(*files(tmp_path, text[:place] + letter + text[place + 1 :]))
        except EngineUnavailable as error:
            assert "cannot be used" in error.message  # noqa: PT017 - either is right
