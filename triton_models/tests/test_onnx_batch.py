from __future__ import annotations

import contextlib

import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as some

from triton_models.onnx_batch import NotUnderstood, free_batch
from triton_models.tests.tiny_isnet import SIDE, isnet


def opened(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # An old file with weights among its inputs is warned of on the terminal.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class TestFreeBatch:
    @pytest.mark.parametrize("batch", [1, None], ids=["declared as one", "free already"])
    def test_lets_a_network_take_any_number_of_pictures(self, batch: int | None) -> None:
        session = opened(free_batch(isnet(batch=batch)))

        assert session.get_inputs()[0].shape == ["batch", 3, SIDE, SIDE]

    def test_keeps_the_first_output_alone(self) -> None:
        assert [output.name for output in opened(isnet()).get_outputs()] == ["d1", "d2", "d3", "d4", "d5", "d6"]

        assert [output.name for output in opened(free_batch(isnet())).get_outputs()] == ["d1"]

    def test_leaves_weights_alone_that_an_old_file_lists_among_its_inputs(self) -> None:
        session = opened(free_batch(isnet(weights_as_inputs=True)))

        assert [taken.name for taken in session.get_inputs()] == ["input_image"]
        assert session.get_overridable_initializers()[0].shape == [4, 3, 3, 3]

    @pytest.mark.parametrize(
        "content",
        [b"", b"no network at all", b"\xff" * 40, b"\x3a\x80", isnet()[:-1], isnet()[:2000]],
        ids=["empty", "text", "endless number", "half a length", "a byte short", "half a file"],
    )
    def test_refuses_what_is_no_whole_file(self, content: bytes) -> None:
        with pytest.raises(NotUnderstood):
            free_batch(content)

    def test_refuses_a_network_of_two_inputs(self) -> None:
        with pytest.raises(NotUnderstood, match="takes 2 inputs and gives 6 outputs"):
            free_batch(isnet(masked=True))

    @given(place=some.integers(0, len(isnet()) - 1), bytes_there=some.binary(min_size=1, max_size=4))
    def test_ends_in_nothing_worse_than_a_refusal_whatever_the_bytes(self, place: int, bytes_there: bytes) -> None:
        damaged = isnet()[:place] + bytes_there + isnet()[place + len(bytes_there) :]

        with contextlib.suppress(NotUnderstood):
            assert free_batch(damaged)
