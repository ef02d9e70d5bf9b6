"""
From a network's rough mask to a cut-out: pulled to the picture's own edges, freed of the old background's colour.

A guided filter (He et al. 2010, "Guided image filtering"; coefficients at a bounded size as in the fast one,
arXiv:1505.00996) pulls the mask to the edges of the full picture, and the colours there are freed of the old background
(Forte 2021, "Approximate fast foreground colour estimation"), since a rim of the old background is what shows on a new
one. All of it runs in tiles. The engines of background_remove differ in their networks alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from triton_models import images
from triton_models.engines import Outcome
from triton_models.tiles import tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from triton_models.images import Picture
    from triton_models.parameters import Parameters
    from triton_models.progress import Watch
    from triton_models.tiles import Tile

    Floats = NDArray[np.float32]

# The parameters that are seen to here.
USES = frozenset({"bg_color", "crop", "channels"})
# The filters work at this size at most; only their result meets the full picture.
_WORK_SIDE = 1024
_TILE_SIDE = 256
# Between these the network cannot tell. A clean cut has 2 to 5 % of its pixels there: the edge, and no more.
_SURELY_OUT, _SURELY_IN = 0.05, 0.95
_MANY_UNDECIDED = 0.15
_NOTHING, _EVERYTHING = 0.002, 0.998
# The filter's leak: what it gives a flat background and takes from a flat subject. Stretched away.
_BLACK_POINT, _WHITE_POINT = 0.06, 0.94
_GUIDED_EPSILON = 1e-4
_CROP_MARGIN = 0.02
_SEEN = 13  # of 255, about the black point: a crop is not held open by a breath of alpha


@dataclass(frozen=True)
class Refinement:
    """
    Linear coefficients of the guided filter, and the colours on both sides of the edge, at the working size.

    slope: float32 (height, width, 3), offset: (height, width): alpha = slope · colour + offset.
    inside, outside: float32 (height, width, 3), 0 to 1. mask: the network's own opinion, (height, width).
    """

    slope: Floats
    offset: Floats
    inside: Floats
    outside: Floats
    mask: Floats


def cut_out(picture: Picture, seen: NDArray[np.uint8], mask: Floats, parameters: Parameters, watch: Watch) -> Outcome:
    """
    Make the result of a request from what a network said.

    seen: uint8 (height, width, 3), the picture as the network saw it, without transparency. mask: float32 of any size,
    0 to 1: how likely each part of the whole picture belongs to the subject.
    """
    watch.report(0.0)
    refinement = refine(_shrunk(seen), mask)
    watch.report(0.15)
    cut = _refined(replace(picture, rgb=seen), refinement, watch.part(0.15, 1.0))
    return _finish(picture, cut, parameters, confidence(mask))


def confidence(mask: Floats) -> dict[str, object]:
    """Tell how far to trust a mask: shares of its pixels from 0 to 1, and whether all of it is empty or full."""
    undecided = float(((mask > _SURELY_OUT) & (mask < _SURELY_IN)).mean())
    subject = float((mask > 0.5).mean())
    return {
        "undecided": round(undecided, 4),
        "subject": round(subject, 4),
        "empty": subject < _NOTHING,
        "full": subject > _EVERYTHING,
    }


def refine(guide: Floats, mask: Floats) -> Refinement:
    """
    Fit the mask to the picture's own edges.

    guide: float32 (height, width, 3), 0 to 1, the picture at the working size. mask: float32 of any size, 0 to 1.
    """
    height, width = guide.shape[:2]
    rough = cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC).clip(0.0, 1.0)
    # The network's edge is uncertain by about one of its own pixels, which is this many of the guide's.
    radius = max(2, round(2.0 * max(height, width) / max(mask.shape)))
    slope, offset = guided_coefficients(guide, rough, radius)
    alpha = stretch((guide * slope).sum(axis=2) + offset)
    inside, outside = edge_colors(guide, alpha)
    return Refinement(slope, offset, inside, outside, rough)


def _shrunk(rgb: NDArray[np.uint8]) -> Floats:
    height, width = rgb.shape[:2]
    shrink = min(1.0, _WORK_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255, np.float32)


def guided_coefficients(guide: Floats, mask: Floats, radius: int) -> tuple[Floats, Floats]:
    """Fit the colour guided filter (He et al. 2010, eq. 19): slope (height, width, 3) and offset (height, width)."""

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, mask_mean = mean(guide), mean(mask)
    covariance = mean(guide * mask[..., None]) - guide_mean * mask_mean[..., None]
    slope = _solved(
        {
            (i, j): mean(guide[..., i] * guide[..., j]) - guide_mean[..., i] * guide_mean[..., j]
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        },
        covariance,
    )
    offset = mask_mean - _dot(slope, guide_mean)
    return mean(slope), mean(offset)


def _solved(sigma: dict[tuple[int, int], Floats], covariance: Floats) -> Floats:
    """Solve a symmetric system of three for every pixel by its cofactors: a quarter of the time of LAPACK's loop."""
    # In double precision: where the three colours go together, the determinant is a small difference of large numbers.
    wide = {place: values.astype(np.float64) for place, values in sigma.items()}
    for i in range(3):
        wide[i, i] += _GUIDED_EPSILON
    a, b, c = wide[0, 0], wide[0, 1], wide[0, 2]
    d, e, f = wide[1, 1], wide[1, 2], wide[2, 2]
    aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
    bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
    x, y, z = np.moveaxis(covariance, -1, 0)
    solved = np.stack([aa * x + ab * y + ac * z, ab * x + bb * y + bc * z, ac * x + bc * y + cc * z], axis=-1)
    return np.asarray(solved / (a * aa + b * ab + c * ac)[..., None], np.float32)


def stretch(alpha: Floats) -> Floats:
    """Map alpha from the filter's black and white points to 0 and 1."""
    return np.asarray(((alpha - _BLACK_POINT) / (_WHITE_POINT - _BLACK_POINT)).clip(0.0, 1.0), np.float32)


def edge_colors(guide: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """
    Estimate the subject's colour and the background's for every pixel (Forte 2021): a wide pass, then a narrow one.

    guide: float32 (height, width, 3); alpha: float32 (height, width); 0 to 1. Returns two arrays shaped as guide.
    """
    inside = outside = guide
    for radius in (45, 4):
        inside, outside = _blur_fusion(guide, inside, outside, alpha[..., None], radius)
    return inside, outside


def _blur_fusion(guide: Floats, inside: Floats, outside: Floats, alpha: Floats, radius: int) -> tuple[Floats, Floats]:
    size = (2 * radius + 1,) * 2

    def around(colors: Floats, weight: Floats) -> Floats:
        return np.asarray(cv2.blur(colors * weight, size) / (cv2.blur(weight, size)[..., None] + 1e-5), np.float32)

    inside_near, outside_near = around(inside, alpha), around(outside, 1 - alpha)
    unexplained = guide - alpha * inside_near - (1 - alpha) * outside_near
    return (inside_near + alpha * unexplained).clip(0, 1), (outside_near + (1 - alpha) * unexplained).clip(0, 1)


def _refined(picture: Picture, refinement: Refinement, watch: Watch) -> Picture:
    """Apply the refinement to the full picture, tile by tile; the result has alpha and clean colours."""
    rgb = np.empty_like(picture.rgb)
    alpha = np.empty(picture.rgb.shape[:2], np.uint8)
    plan = list(tiles(picture.height, picture.width, size=_TILE_SIDE, overlap=0))
    for done, tile in enumerate(plan):
        watch.report(done / len(plan))
        place = tile.inner()
        enlarged = _enlarger(refinement.mask.shape, picture.rgb.shape, tile)
        rgb[place], alpha[place] = _refined_tile(picture.rgb[place], refinement, enlarged)
    return replace(picture, rgb=rgb, alpha=alpha)


def _refined_tile(
    pixels: NDArray[np.uint8], refinement: Refinement, enlarged: Callable[[Floats], Floats]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the clean colours and alpha of a tile. Most tiles lie on one side of the edge, and are cheap."""
    colors = pixels.astype(np.float32) / 255
    opacity = stretch(_dot(enlarged(refinement.slope), colors) + enlarged(refinement.offset))
    alpha = np.rint(opacity * 255).astype(np.uint8)
    if opacity.min() >= 1.0:
        return pixels, alpha
    clean = inside = enlarged(refinement.inside)
    if opacity.max() > 0.0:
        clean = _without_background(colors, opacity[..., None], inside, enlarged(refinement.outside))
    return np.rint(clean * 255).astype(np.uint8), alpha


def _without_background(colors: Floats, alpha: Floats, inside: Floats, outside: Floats) -> Floats:
    unexplained = colors - alpha * inside - (1 - alpha) * outside
    clean = (inside + alpha * unexplained).clip(0.0, 1.0)
    # Where nothing shows through, the photograph's own pixel is the truth.
    return np.asarray(np.where(alpha >= 1.0, colors, clean), np.float32)


def _dot(one: Floats, other: Floats) -> Floats:
    """Return the scalar product of two arrays (height, width, 3) along their last axis."""
    # A third of the time of a product that is summed.
    return np.asarray(np.einsum("hwc,hwc->hw", one, other), np.float32)


def _enlarger(small: tuple[int, ...], full: tuple[int, ...], tile: Tile) -> Callable[[Floats], Floats]:
    """Return what enlarges an array of the working size to a tile of the full size, bilinearly."""
    down, across = small[0] / full[0], small[1] / full[1]
    left, top = tile.columns.start, tile.rows.start
    # Pixel centres lie at half; without the shift every tile would sit half a working pixel too far up and left.
    inverse = np.array([[across, 0, (left + 0.5) * across - 0.5], [0, down, (top + 0.5) * down - 0.5]], np.float64)
    size = (tile.columns.end - left, tile.rows.end - top)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def enlarge(values: Floats) -> Floats:
        return np.asarray(
            cv2.warpAffine(values, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )

    return enlarge


def _finish(source: Picture, cut: Picture, parameters: Parameters, checks: dict[str, object]) -> Outcome:
    if source.alpha is not None and cut.alpha is not None:
        # Colours of what was transparent before are its own: as the network saw them, they are mixed with white.
        rgb = np.where(source.alpha[..., None] == 255, cut.rgb, source.rgb)
        cut = replace(cut, rgb=rgb, alpha=_times(cut.alpha, source.alpha))
    warnings = warnings_of(checks)
    if parameters.crop and not checks["empty"]:
        cut = _cropped(cut)
    if parameters.channels == "alpha" and cut.alpha is not None:
        return Outcome(
            replace(cut, rgb=np.repeat(cut.alpha[..., None], 3, axis=2), alpha=None, gray=True),
            checks,
            warnings,
            lossless=True,
        )
    if parameters.bg_color is not None:
        return Outcome(images.flatten(cut, parameters.bg_color), checks, warnings)
    return Outcome(cut, checks, warnings, lossless=True)


def _times(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.multiply(one, other, scale=1 / 255), np.uint8)


def warnings_of(checks: dict[str, object]) -> list[str]:
    """Say in sentences what a person should know of a cut-out with these checks."""
    if checks["empty"]:
        return ["No subject was found: nearly everything is transparent."]
    if checks["full"]:
        return ["No background was found: nearly everything was kept."]
    undecided = float(str(checks["undecided"]))
    if undecided > _MANY_UNDECIDED:
        return [f"{undecided:.0%} of the pixels are neither clearly subject nor clearly background: check the edges."]
    return []


def _cropped(picture: Picture) -> Picture:
    """Cut the picture down to what is left of it, with a small margin."""
    if picture.alpha is None:
        return picture
    rows, columns = (_extent((picture.alpha > _SEEN).any(axis=axis)) for axis in (1, 0))
    return replace(picture, rgb=picture.rgb[rows, columns], alpha=picture.alpha[rows, columns])


def _extent(seen: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(seen)
    if not where.size:
        return slice(0, seen.size)
    first, last = int(where[0]), int(where[-1]) + 1
    margin = max(1, round(_CROP_MARGIN * (last - first)))
    return slice(max(0, first - margin), min(seen.size, last + margin))
