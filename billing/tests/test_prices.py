import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import UnknownOperation
from billing.prices import MEGAPIXEL, PRICES

PIXELS = st.integers(min_value=1, max_value=64 * MEGAPIXEL)


class TestPrice:
    @pytest.mark.parametrize(
        ("operation", "input_pixels", "output_pixels", "expected"),
        [
            ("upscale", 250_000, 4_000_000, 2),
            ("upscale", 250_001, 4_000_016, 3),
            ("upscale", 4_000_000, 64_000_000, 17),
            ("enhance", 1, 1, 2),
            ("style_comic", 4_000_001, 4_000_001, 3),
            ("style_aged", 50_000_000, 50_000_000, 14),
            ("background_remove", 4_000_000, 4_000_000, 1),
            ("background_remove", 12_000_000, 12_000_000, 3),
        ],
    )
    def test_is_a_base_and_a_credit_for_each_started_step(
        self, operation: str, input_pixels: int, output_pixels: int, expected: int
    ) -> None:
        assert PRICES.price(operation, input_pixels=input_pixels, output_pixels=output_pixels) == expected

    @given(operation=st.sampled_from(sorted(PRICES.rows)), pixels=PIXELS, more=PIXELS)
    def test_is_never_free_and_never_falls_with_size(self, operation: str, pixels: int, more: int) -> None:
        small = PRICES.price(operation, input_pixels=pixels, output_pixels=pixels)
        large = PRICES.price(operation, input_pixels=pixels + more, output_pixels=pixels + more)

        assert 1 <= small <= large

    def test_refuses_an_operation_without_a_row(self) -> None:
        with pytest.raises(UnknownOperation, match="'colourise'"):
            PRICES.price("colourise", input_pixels=1, output_pixels=1)

    def test_refuses_an_image_without_pixels(self) -> None:
        with pytest.raises(ValueError, match="at least one pixel"):
            PRICES.price("upscale", input_pixels=1, output_pixels=0)
