from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from triton_models.errors import EngineUnavailable
from triton_models.networks import rrdbnet
from triton_models.networks.rrdbnet import RRDBNet, Shape
from triton_models.tests.tiny_networks import save_checkpoint, save_ncnn, tiny_network

if TYPE_CHECKING:
    from pathlib import Path


def same(one: RRDBNet, other: RRDBNet, tolerance: float = 0.0) -> bool:
    mine, others = one.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all((mine[name] - others[name]).abs().max() <= tolerance for name in mine)


def pixels(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


class TestANetwork:
    def test_is_as_large_as_the_published_one(self) -> None:
        with torch.device("meta"):
            network = RRDBNet()

        assert sum(parameter.numel() for parameter in network.parameters()) == 16_697_987
        assert "body.22.rdb3.conv5.weight" in network.state_dict()

    def test_makes_a_picture_four_times_as_large(self) -> None:
        with torch.inference_mode():
            assert tiny_network()(pixels(5, 7)).shape == (1, 3, 20, 28)

    @pytest.mark.parametrize("height", [8, 9, 16, 37])
    def test_enlarges_in_strips_as_it_does_as_a_whole(self, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
        network, small = tiny_network(), pixels(height, 6)
        with torch.inference_mode():
            whole = network(small)
            monkeypatch.setattr(rrdbnet, "_STRIP_PIXELS", 1)

            assert torch.allclose(network(small), whole, atol=1e-5)

    def test_can_be_stopped_between_two_blocks(self) -> None:
        network, heard = tiny_network(shape=Shape(planes=8, blocks=4, growth=4)), []

        def stop_at_half(done: float) -> None:
            heard.append(done)
            if done == 0.5:
                raise InterruptedError

        with torch.inference_mode(), pytest.raises(InterruptedError):
            network(pixels(4, 4), stop_at_half)

        assert heard == [0.25, 0.5]


class TestACheckpoint:
    @pytest.mark.parametrize("key", ["params_ema", "params", None])
    def test_is_loaded_whichever_key_its_weights_are_under(self, key: str | None, tmp_path: Path) -> None:
        network = tiny_network()

        assert same(rrdbnet.from_checkpoint(save_checkpoint(network, tmp_path / "net.pth", key)), network)

    def test_that_is_cut_off_is_refused_by_name(self, tmp_path: Path) -> None:
        path = save_checkpoint(tiny_network(), tmp_path / "net.pth")
        path.write_bytes(path.read_bytes()[:5000])

        with pytest.raises(EngineUnavailable, match=r"net\.pth cannot be used"):
            rrdbnet.from_checkpoint(path)

    def test_that_would_run_code_is_refused(self, tmp_path: Path) -> None:
        torch.save({"params": pytest.fail}, tmp_path / "net.pth")

        with pytest.raises(EngineUnavailable, match=r"net\.pth cannot be used: torch cannot load it as plain weights"):
            rrdbnet.from_checkpoint(tmp_path / "net.pth")

    @pytest.mark.parametrize(
        "content",
        [
            [1, 2],
            {},
            {"params": {"conv_first.weight": torch.zeros(8, 3, 3, 3)}},
            {"params": {"conv_first.weight": torch.zeros(8, 3, 3, 3), "body.0.rdb1.conv1.weight": torch.zeros(4, 9)}},
        ],
    )
    def test_of_something_else_is_refused_by_name(self, content: object, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "net.pth")

        with pytest.raises(EngineUnavailable, match=r"net\.pth cannot be used: it"):
            rrdbnet.from_checkpoint(tmp_path / "net.pth")


class TestNcnnFiles:
    @pytest.mark.parametrize(("half", "tolerance"), [(False, 0.0), (True, 1e-3)])
    def test_give_the_network_they_were_written_from(self, half: bool, tolerance: float, tmp_path: Path) -> None:  # noqa: FBT001 - a case
        network = tiny_network(shape=Shape(planes=8, blocks=2, growth=4))

        assert same(rrdbnet.from_ncnn(*save_ncnn(network, tmp_path, half=half)), network, tolerance)

    def test_of_another_network_are_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "net.param").write_text("7767517\n1 1\nInput data 0 1 data\n")
        (tmp_path / "net.bin").write_bytes(b"")

        with pytest.raises(EngineUnavailable, match=r"net\.param cannot be used: 0 convolutions are not those of RRDB"):
            rrdbnet.from_ncnn(tmp_path / "net.param", tmp_path / "net.bin")
