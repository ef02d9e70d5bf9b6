"""What a request may ask for: every parameter of every operation, with its rule, in one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PIL import ImageColor

from triton_models.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Color = tuple[int, int, int]
# Accepted by every operation, with its default.
COMMON: Mapping[str, object] = {
    "seed": None,
    "engine": "auto",
    "reproducible": False,
    "format": "auto",
    "quality": None,
    "metadata": "strip",
}


@dataclass(frozen=True)
class Parameters:
    """The resolved parameters of one request; what an operation does not have keeps the default below."""

    prompt: str = ""
    negative_prompt: str = ""
    strength: float | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    seed: int | None = None
    scale: int = 4
    line_weight: float = 0.5
    flatness: float = 0.5
    engine: str = "auto"
    reproducible: bool = False
    format: str = "auto"
    quality: int | None = None
    metadata: str = "strip"
    bg_color: Color | None = None
    crop: bool = False
    channels: str = "rgba"

    def described(self, accepted: Mapping[str, object]) -> dict[str, object]:
        """Return the accepted parameters as JSON values."""
        values = {name: value for name, value in asdict(self).items() if name in accepted or name in COMMON}
        if self.bg_color is not None and "bg_color" in values:
            values["bg_color"] = "#{:02x}{:02x}{:02x}".format(*self.bg_color)
        return values


def resolve(asked: Mapping[str, object], accepted: Mapping[str, object]) -> tuple[Parameters, list[str]]:
    """
    Check what was asked for and fill in the defaults of the operation.

    asked: raw values by name. Strings are read as the value they spell.
    Returns the parameters, and the names that were asked for but which the operation does not have: a newer site may
    know more than this server, and a job is not worth losing over it. Raises InvalidParameter, naming the value seen.
    """
    known = {**COMMON, **accepted}
    values = {name: _checked(name, value) for name, value in asked.items() if name in known}
    resolved: dict[str, Any] = {**known, **values}
    return Parameters(**resolved), sorted(set(asked) - set(known))


def _checked(name: str, value: object) -> object:
    try:
        return _RULES[name](value)
    except ValueError as error:
        shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}..."
        raise InvalidParameter(f"{name} must be {error}, not {shown}.") from error


def _number(low: float, high: float) -> Callable[[object], float]:
    def rule(value: object) -> float:
        try:
            number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return number

    return rule


def _whole(low: int, high: int) -> Callable[[object], int]:
    def rule(value: object) -> int:
        text = str(value)
        if isinstance(value, bool) or not text.removeprefix("-").isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return rule


def _one_of(*choices: str | int) -> Callable[[object], str | int]:
    def rule(value: object) -> str | int:
        for choice in choices:
            if str(value) == str(choice):
                return choice
        raise ValueError(f"one of {', '.join(map(str, choices))}")

    return rule


def _text(longest: int) -> Callable[[object], str]:
    def rule(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(f"a text of at most {longest} characters")
        return value

    return rule


def _flag(value: object) -> bool:
    spelled = str(value).lower()
    if spelled not in {"true", "false", "1", "0", "yes", "no"}:
        raise ValueError("true or false")
    return spelled in {"true", "1", "yes"}


def _color(value: object) -> Color:
    name = str(value).strip()
    for spelling in (name, f"#{name}"):
        try:
            red, green, blue = ImageColor.getrgb(spelling)[:3]
        except ValueError:
            continue
        return red, green, blue
    raise ValueError("a colour such as #ffffff or white")


_RULES: Mapping[str, Callable[[object], object]] = {
    "prompt": _text(1000),
    "negative_prompt": _text(1000),
    "strength": _number(0, 1),
    "guidance_scale": _number(0, 20),
    "line_weight": _number(0, 1),
    "flatness": _number(0, 1),
    "steps": _whole(1, 150),
    "seed": _whole(0, 2**63 - 1),
    "scale": _one_of(2, 4),
    "engine": _text(100),
    "reproducible": _flag,
    "format": _one_of("auto", "png", "jpeg", "webp"),
    "quality": _whole(1, 100),
    "metadata": _one_of("keep", "strip", "copyright"),
    "bg_color": _color,
    "crop": _flag,
    "channels": _one_of("rgba", "alpha"),
}
