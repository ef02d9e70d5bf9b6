from __future__ import annotations

import numpy as np
import pytest

from triton_models.fields import Field


class TestAField:
    def test_reads_the_same_rows_however_it_is_cut(self) -> None:
        field = Field.over(np.random.default_rng(0).random((37, 50, 3), dtype=np.float32), 301, 202)

        whole = field.rows(0, 301)
        strips = [field.rows(start, min(start + 17, 301)) for start in range(0, 301, 17)]

        assert np.abs(np.concatenate(strips) - whole).max() < 1e-5

    def test_lies_straight_over_the_picture(self) -> None:
        ramp = np.linspace(0, 1, 64, dtype=np.float32)
        field = Field.over(np.add.outer(ramp, ramp), 640, 320)

        rows = field.rows(0, 640)

        assert np.abs(rows - rows[::-1, ::-1] * -1 - 2).max() < 1e-4
        assert rows[5:-5].mean(axis=1) == pytest.approx(np.linspace(0.5, 1.5, 640)[5:-5], abs=0.01)

    def test_finer_than_the_picture_is_averaged(self) -> None:
        field = Field.over(np.tile(np.array([0.0, 1.0], np.float32), (40, 40)), 10, 20)

        assert np.allclose(field.rows(0, 10), 0.5)
