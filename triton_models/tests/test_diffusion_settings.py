from __future__ import annotations

import pytest

from triton_models.diffusion.loading import largest_batch, offload_asked, working_side
from triton_models.errors import EngineUnavailable


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
