from __future__ import annotations

import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from triton_models.devices import Device
from triton_models.diffusion.loading import Loaded, largest_batch, offload_asked, place, working_side
from triton_models.diffusion.passes import Passes, Terms, Wish
from triton_models.engines import comic_ghibli
from triton_models.errors import EngineUnavailable
from triton_models.progress import Watch
from triton_models.tests.tiny import lock_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T4, H100 = 15 * 2**30, 80 * 2**30


class TestTheEnvironment:
    def test_need_not_say_anything(self) -> None:
        assert (working_side(768, {}), largest_batch({}), offload_asked({})) == (768, 4, "none")

    def test_makes_a_model_fit_a_small_card(self) -> None:
        small = {
            "IMAGEN_DIFFUSION_SIDE": "512",
            "IMAGEN_DIFFUSION_BATCH": "1",
            "IMAGEN_ENHANCE_OFFLOAD": "model",
        }

        assert (working_side(768, small), largest_batch(small), offload_asked(small)) == (512, 1, "model")

    @pytest.mark.parametrize("side", ["500", "0", "32", "-64", "large"])
    def test_is_refused_with_a_side_the_networks_cannot_halve(self, side: str) -> None:
        with pytest.raises(EngineUnavailable, match=f"multiple of 64, not '{side}'"):
            working_side(768, {"IMAGEN_DIFFUSION_SIDE": side})

    @pytest.mark.parametrize("batch", ["0", "-1", "1.5", "many"])
    def test_is_refused_with_a_batch_that_is_no_number(self, batch: str) -> None:
        with pytest.raises(EngineUnavailable, match="IMAGEN_DIFFUSION_BATCH must be a whole number from 1"):
            largest_batch({"IMAGEN_DIFFUSION_BATCH": batch})

    def test_is_refused_with_an_offload_there_is_not(self) -> None:
        with pytest.raises(EngineUnavailable, match="one of none, model, sequential, not 'disk'"):
            offload_asked({"IMAGEN_ENHANCE_OFFLOAD": "disk"})


class TestAFolderOfTheHub:
    def test_is_loaded_without_a_network(self, tiny_volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise AssertionError("Somebody asks the network.")

        monkeypatch.setattr(socket.socket, "connect", refuse)

        assert comic_ghibli.load(tiny_volume, threads=1).name == "ghibli-diffusion"

    def test_that_lacks_a_part_is_named(
        self, tiny_volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = shutil.copytree(tiny_volume / "ghibli-diffusion", tmp_path / "ghibli-diffusion")
        shutil.rmtree(folder / "scheduler")
        (tmp_path / "lock").write_text(lock_entry("ghibli-diffusion", folder), "utf-8")
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(tmp_path / "lock"))

        with pytest.raises(EngineUnavailable, match=f"cannot be loaded from {folder}: .*scheduler"):
            comic_ghibli.load(tmp_path, threads=1)

    @pytest.mark.parametrize("stranger", ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/adapter_config.json"])
    def test_with_a_file_that_is_in_no_lock_is_refused(
        self, tiny_volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stranger: str
    ) -> None:
        folder = shutil.copytree(tiny_volume / "ghibli-diffusion", tmp_path / "ghibli-diffusion")
        (tmp_path / "lock").write_text(lock_entry("ghibli-diffusion", folder), "utf-8")
        monkeypatch.setenv("IMAGEN_WEIGHTS_LOCK", str(tmp_path / "lock"))
        (folder / stranger).write_bytes(b"{}")

        with pytest.raises(EngineUnavailable, match=f"{stranger} is not among the files that lock names"):
            comic_ghibli.load(tmp_path, threads=1)


class Pipeline(SimpleNamespace):
    """Remembers what is done to it; its networks are a convolution each."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        super().__init__(unet=torch.nn.Conv2d(4, 8, 3), vae=torch.nn.Conv2d(4, 8, 3), vae_scale_factor=8)
        self.vae.enable_slicing = lambda: self.told.append(("slices", None))
        self.vae.enable_tiling = lambda: self.told.append(("tiles", None))
        self.unet.compile = lambda **_: self.told.append(("compiled", None))

    def to(self, device: str) -> None:
        self.told.append(("to", device))

    def enable_model_cpu_offload(self, device: str) -> None:
        self.told.append(("model", device))

    def enable_sequential_cpu_offload(self, device: str) -> None:
        self.told.append(("sequential", device))

    def upcast_vae(self) -> None:
        raise AssertionError("It is deprecated.")

    def maybe_free_model_hooks(self) -> None:
        pass


class TestACard:
    """A pretended one: what is asked of torch and diffusers where there is a real one."""

    def placed(self, monkeypatch: pytest.MonkeyPatch, memory: int, *arguments: Any) -> Pipeline:
        properties = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _name: properties)
        pipeline = Pipeline()
        place(pipeline, Device("cuda", "fp16", "a card"), *arguments)
        return pipeline

    def test_of_a_large_memory_has_the_whole_pipeline_and_decodes_pictures_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = self.placed(monkeypatch, H100, "none", {})

        assert pipeline.told == [("slices", None), ("to", "cuda:0")]
        assert pipeline.unet.weight.is_contiguous(memory_format=torch.channels_last)
        assert pipeline.vae.weight.is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize("offload", ["model", "sequential"])
    def test_of_a_small_memory_decodes_by_tiles_and_may_have_a_part_of_it(
        self, monkeypatch: pytest.MonkeyPatch, offload: str
    ) -> None:
        pipeline = self.placed(monkeypatch, T4, offload, {})

        assert pipeline.told == [("slices", None), (offload, "cuda:0"), ("tiles", None)]
        assert (pipeline.vae.tile_sample_min_size, pipeline.vae.tile_latent_min_size) == (512, 64)

    def test_decodes_in_fp32_where_fp16_overflows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pipeline = self.placed(monkeypatch, T4, "none", {})
        pipeline.vae.half()

        pipeline.upcast_vae()

        assert pipeline.vae.weight.dtype == torch.float32

    def test_runs_compiled_networks_when_that_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pipeline = self.placed(monkeypatch, H100, "none", {"IMAGEN_COMPILE": "1"})

        assert pipeline.told[-1] == ("compiled", None)

    def test_runs_none_compiled_that_is_offloaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pipeline = self.placed(monkeypatch, T4, "model", {"IMAGEN_COMPILE": "1"})

        assert ("compiled", None) not in pipeline.told

    def test_compiles_every_shape_in_the_thread_that_runs_them(self) -> None:
        loaded = Loaded(Pipeline(), Device("cuda", "fp16", "a card"), "", is_compiled=True)

        def limit() -> int:
            loaded.settle_in()
            return int(torch._dynamo.config.recompile_limit)

        with ThreadPoolExecutor(1) as another:
            assert another.submit(limit).result() > 100

    @pytest.mark.parametrize("offload", ["model", "sequential"])
    def test_with_networks_in_main_memory_does_not_double_them(self, offload: str) -> None:
        pipeline = Pipeline()
        pipeline.unet.half()

        with Loaded(pipeline, Device("cuda", "fp16", "a card"), "", offload).precisely():
            assert pipeline.unet.weight.dtype == torch.float16

    def test_goes_to_whoever_waits_for_it_after_every_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        turns: list[str] = []

        class Card:
            kind, precision = "cuda", "fp16"

            @contextmanager
            def turn(self) -> Iterator[None]:
                turns.append("taken")
                yield
                turns.append("given back")

        def three_steps(_pipeline: Any, wishes: list[Wish], _terms: Terms, after_step: Any) -> torch.Tensor:
            for step in range(3):
                turns.append("step")
                after_step(step, 3, torch.zeros(1, 4, 8, 8))
            return torch.zeros(1, 3, 64, 64)

        monkeypatch.setattr(torch.cuda, "synchronize", lambda: turns.append("done"))
        passes = Passes(Loaded(Pipeline(), Card(), ""), three_steps, 1)
        wish = Wish(torch.zeros(64, 64, 3).numpy(), "", "", 1)
        passes.batcher.run_one(Terms(64, 64, 3, 1.0), wish, Watch(lambda _fraction, _preview: None, lambda: False))
        passes.batcher.close()

        assert turns == [*["taken", "step", "done", "given back"] * 3, "taken", "given back"]
