from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from triton_models import mask_networks
from triton_models.devices import Device
from triton_models.errors import EngineUnavailable, OutOfMemory
from triton_models.mask_networks import MaskNetwork, may_share, open_network
from triton_models.tests.tiny_isnet import SIDE, isnet

if TYPE_CHECKING:
    from pathlib import Path

CARD = Device("cuda", "fp16", "Tesla T4")


def network(folder: Path, content: bytes | None = None, device: Device = mask_networks.CPU) -> MaskNetwork:
    path = folder / "tiny.onnx"
    path.write_bytes(isnet() if content is None else content)
    return open_network(path, side=32, threads=1, device=device)


def pictures(count: int) -> list[np.ndarray]:
    chance = np.random.default_rng(1)
    return [chance.random((3, SIDE, SIDE), np.float32) - np.float32(0.5) for _ in range(count)]


class TestAMaskNetwork:
    def test_says_of_each_picture_of_a_pass_what_it_says_of_it_alone(self, tmp_path: Path) -> None:
        tiny, taken = network(tmp_path), pictures(4)

        together = tiny.masks(taken)

        assert max(np.ptp(mask) for mask in together) > 0.5
        for picture, mask in zip(taken, together, strict=True):
            assert np.abs(mask - tiny.masks([picture])[0]).max() < 1 / 255

    def test_knows_its_side_from_the_file(self, tmp_path: Path) -> None:
        assert network(tmp_path).side == SIDE

    def test_computes_on_the_processor_where_onnxruntime_knows_no_card(self, tmp_path: Path) -> None:
        tiny = network(tmp_path, device=CARD)

        assert tiny.device.kind == "cpu"
        assert tiny.masks(pictures(1))[0].shape == (SIDE, SIDE)

    def test_computes_on_the_card_in_its_own_precision_where_there_is_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        monkeypatch.setattr(onnxruntime, "InferenceSession", SessionOfACard)

        tiny = network(tmp_path, device=CARD)

        assert (tiny.device.kind, tiny.device.precision, tiny.device.label) == ("cuda", "fp32", "Tesla T4")
        assert tiny.session.get_providers() == ["CUDAExecutionProvider", "CPUExecutionProvider"]
        assert not tiny.session.falls_back

    def test_that_is_no_onnx_file_is_refused_by_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable, match=r"tiny\.onnx cannot be loaded"):
            network(tmp_path, b"no network at all")

    @pytest.mark.parametrize(
        "said", ["Failed to allocate memory for requested buffer of size 9", "CUDA failure 2: out of memory ; GPU=0"]
    )
    def test_says_so_when_memory_does_not_suffice(self, said: str) -> None:
        starving = MaskNetwork(SessionThatFails(mask_networks.ERRORS[0](said)), SIDE)

        with pytest.raises(OutOfMemory):
            starving.masks(pictures(1))

    def test_lets_other_failures_through(self) -> None:
        failing = MaskNetwork(SessionThatFails(mask_networks.ERRORS[0]("a kernel failed")), SIDE)

        with pytest.raises(mask_networks.ERRORS, match="a kernel failed"):
            failing.masks(pictures(1))


class TestMayShare:
    def test_when_each_picture_is_treated_as_if_it_were_alone(self, tmp_path: Path) -> None:
        assert may_share(network(tmp_path))

    def test_never_when_pictures_of_a_pass_change_each_other(self, tmp_path: Path) -> None:
        assert not may_share(network(tmp_path, isnet(mixes=True)))

    def test_never_when_the_answers_are_alike_anyway(self, tmp_path: Path) -> None:
        assert not may_share(network(tmp_path, isnet(blind=True)))

    def test_never_when_the_file_computes_with_its_own_batch(self, tmp_path: Path) -> None:
        assert not may_share(network(tmp_path, isnet(fixed=True)))


class Named:
    name = "any"
    shape = ("batch", 3, SIDE, SIDE)


class SessionThatFails:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_inputs(self) -> list[Named]:
        return [Named()]

    get_outputs = get_inputs

    def run(self, *_: object) -> list[np.ndarray]:
        raise self.error


class SessionOfACard(SessionThatFails):
    """Takes what a session takes, and has the providers it was asked for."""

    falls_back = True

    def __init__(self, _content: bytes, _options: object, providers: list[Any]) -> None:
        self.providers = [name if isinstance(name, str) else name[0] for name in providers]

    def get_providers(self) -> list[str]:
        return self.providers

    def disable_fallback(self) -> None:
        self.falls_back = False
