"""
The operations: what each accepts, its limits, its queue and its model. Pure: no I/O, no Django.

The API, its schema, the page's form and the docs are all drawn from this one definition. To add an operation, add a
row to OPERATIONS, a price in billing/prices.py and a model in triton_models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from jobs.errors import InvalidParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEGAPIXEL = 1_000_000
MAX_FILENAME = 200
MAX_SEED = 2**32 - 1

Kind = Literal["choice", "integer", "number", "text", "boolean", "color", "name"]
Size = tuple[int, int]

_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_TRUE, _FALSE = {"true", "1", "on", "yes"}, {"false", "0", "off", "no"}


@dataclass(frozen=True)
class Limits:
    """What an account may send and how much at once; the defaults are those of the free plan (jobs/limits.py)."""

    max_bytes: int = 30 * 1024 * 1024  # through the site
    max_upload_bytes: int = 100 * 1024 * 1024  # sent directly to the image store
    max_pixels: int = 50 * MEGAPIXEL  # width x height x frames read
    max_output_pixels: int = 64 * MEGAPIXEL
    min_side: int = 32
    max_side: int = 20_000
    max_open_uploads: int = 20
    max_unfinished_jobs: int = 100
    max_submits_per_minute: int = 120


@dataclass(frozen=True)
class Parameter:
    """
    One parameter: how it is read, what it may be, and how a form shows it. A default of None means "not asked".

    Both a choice and a name are one of `choices`: few short words side by side, or names in a list to pick from.
    """

    name: str
    kind: Kind
    default: Any
    label: str
    help: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 0
    advanced: bool = False

    def clean(self, value: Any) -> Any:  # noqa: ANN401 - text from a form or any JSON value
        """
        Return the value in its JSON type; an empty field means the default.

        Raises ValueError with a sentence naming what was seen and what is allowed.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return self.default
        return _CLEANERS[self.kind](self, value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of this parameter."""
        described = " ".join(filter(None, (self.label + ".", self.help)))
        schema = {**_JSON_TYPES[self.kind], "description": described}
        bounds = {"minimum": self.minimum, "maximum": self.maximum, "maxLength": self.max_length or None}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
        if self.choices:
            schema["enum"] = list(self.choices)
            schema["type"] = "integer" if isinstance(self.choices[0], int) else "string"
        if self.default is not None:
            schema["default"] = self.default
        return schema


@dataclass(frozen=True)
class Operation:
    """
    One thing we do to a photo.

    `output_size` gives the width and height of the result from the input's and the parameters, before anything is
    decoded: limits and prices need it. Where a result may come out smaller (a crop) it is the upper bound.
    """

    name: str
    path: str
    topic: str
    model: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...]
    output_size: Callable[[int, int, Mapping[str, Any]], Size] = field(
        default=lambda width, height, _params: (width, height),
    )

    @property
    def worker(self) -> str:
        """The name of the deployment that works on its jobs: "comic-worker" for style_comic."""
        return self.name.removeprefix("style_").replace("_", "-") + "-worker"

    def clean(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return every parameter with its value or default.

        Raises InvalidParameters with the sentences for each one that is unknown or wrong.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        errors = {name: [f"{self.name} has no such parameter."] for name in values.keys() - known.keys()}
        cleaned = {}
        for name, parameter in known.items():
            try:
                cleaned[name] = parameter.clean(values.get(name))
            except ValueError as error:
                errors[name] = [str(error)]
        if errors:
            raise InvalidParameters(errors)
        return cleaned

    def apart_from_defaults(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of a job's or an engine's settings that are not what everybody gets who asks for nothing."""
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the parameters."""
        return {
            "type": "object",
            "properties": {parameter.name: parameter.schema() for parameter in self.parameters},
            "additionalProperties": False,
        }


def _clean_choice(parameter: Parameter, value: Any) -> Any:  # noqa: ANN401
    for choice in parameter.choices:
        if not isinstance(value, bool) and str(value) == str(choice):
            return choice
    allowed = ", ".join(str(choice) for choice in parameter.choices)
    raise ValueError(f"{_shown(value)} is not one of {allowed}.")


def _clean_integer(parameter: Parameter, value: Any) -> int:  # noqa: ANN401
    # int() would take 3.7, True and "1_000".
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_shown(value)} is not a whole number.")
    return int(_within(parameter, value))


def _clean_number(parameter: Parameter, value: Any) -> float:  # noqa: ANN401
    if isinstance(value, str) and re.fullmatch(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})", value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_shown(value)} is not a number.")
    return float(_within(parameter, value))


def _within(parameter: Parameter, value: float) -> float:
    low, high = parameter.minimum, parameter.maximum
    # Written so that NaN, which compares false with everything, is outside too.
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"{_shown(value)} is outside {low:,.15g} to {high:,.15g}.")
    return value


def _clean_text(parameter: Parameter, value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text.")
    if "\x00" in value:
        raise ValueError("The text contains a NUL character.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        # JSON can write one; neither a database nor the model server could take it.
        raise ValueError("The text contains half of a character, which no text can have.")
    if len(value) > parameter.max_length:
        raise ValueError(f"The text has {len(value):,} characters; at most {parameter.max_length:,} are allowed.")
    return value


def _clean_boolean(_parameter: Parameter, value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE | _FALSE:
        return value.strip().lower() in _TRUE
    raise ValueError(f"{_shown(value)} is not true or false.")


def _clean_color(_parameter: Parameter, value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str) or not _COLOR.fullmatch(value.strip()):
        raise ValueError(f"{_shown(value)} is not a colour such as #ffffff.")
    digits = value.strip().lstrip("#").lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_CLEANERS: Mapping[Kind, Callable[[Parameter, Any], Any]] = {
    "choice": _clean_choice,
    "integer": _clean_integer,
    "number": _clean_number,
    "text": _clean_text,
    "boolean": _clean_boolean,
    "color": _clean_color,
    "name": _clean_choice,
}
_JSON_TYPES: Mapping[Kind, Mapping[str, Any]] = {
    "choice": {},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "text": {"type": "string"},
    "boolean": {"type": "boolean"},
    "color": {"type": "string", "pattern": "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"},
    "name": {},
}

PROMPT = Parameter(
    "prompt",
    "text",
    "",
    "Prompt",
    help="What the picture shows, for engines that read text.",
    max_length=1_000,
    advanced=True,
)
DIFFUSION = (
    PROMPT,
    Parameter("negative_prompt", "text", "", "Negative prompt", help="What to avoid.", max_length=1_000, advanced=True),
    Parameter("steps", "integer", None, "Denoising steps", minimum=1, maximum=100, advanced=True),
)
_AMOUNT = Parameter(
    "strength",
    "number",
    0.5,
    "Strength",
    help="0 is the photo as it was, 1 the full effect.",
    minimum=0,
    maximum=1,
)
_SEED = Parameter("seed", "integer", None, "Seed", minimum=0, maximum=MAX_SEED, advanced=True)
_ENGINE = Parameter(
    "engine",
    "name",
    "auto",
    "Engine",
    help="auto takes the best that runs well here; light is always there. Others may not be installed on this server: "
    "a job for one then fails and costs nothing.",
    advanced=True,
)
_HOW_IT_COMES = (
    Parameter(
        "reproducible",
        "boolean",
        default=False,
        label="Reproducible",
        help="Runs alone, so that the same request gives the same bytes on the same machine.",
        advanced=True,
    ),
    Parameter("format", "choice", "auto", "File format", choices=("auto", "png", "jpeg", "webp")),
    Parameter(
        "quality",
        "integer",
        None,
        "Quality",
        help="For JPEG and WebP.",
        minimum=1,
        maximum=100,
        advanced=True,
    ),
    Parameter(
        "metadata",
        "choice",
        "strip",
        "Metadata",
        help="What the result keeps of the photo's own metadata.",
        choices=("strip", "copyright", "keep"),
        advanced=True,
    ),
)


def _every_operation(*engines: str) -> tuple[Parameter, ...]:
    """Return the parameters that all operations share; engines by their names in triton_models, the best first."""
    return (_SEED, replace(_ENGINE, choices=("auto", "light", *engines)), *_HOW_IT_COMES)


UPSCALE = Operation(
    name="upscale",
    path="upscale",
    topic="upscale-jobs",
    model="upscale",
    title="Upscale",
    summary="Two or four times the width and height, with detail that enlarging alone does not give.",
    parameters=(
        Parameter("scale", "choice", 4, "Scale", choices=(2, 4)),
        *DIFFUSION,
        Parameter("guidance_scale", "number", None, "Guidance", minimum=0, maximum=20, advanced=True),
        *_every_operation("sd-x4-upscaler", "realesrgan-x4plus", "realesr-animevideov3"),
    ),
    output_size=lambda width, height, params: (width * params["scale"], height * params["scale"]),
)
ENHANCE = Operation(
    name="enhance",
    path="enhance",
    topic="enhance-jobs",
    model="enhance",
    title="Enhance",
    summary="Cleaner, crisper, livelier: noise and compression marks go, detail and local contrast come.",
    parameters=(replace(_AMOUNT, default=0.3), *DIFFUSION, *_every_operation("sdxl-refiner", "restorer")),
)
STYLE_COMIC = Operation(
    name="style_comic",
    path="style/comic",
    topic="style-comic-jobs",
    model="style_comic",
    title="Comic style",
    summary="Ink lines over flat colour, as if somebody had drawn it.",
    parameters=(
        replace(_AMOUNT, default=0.6),
        Parameter(
            "line_weight",
            "number",
            0.5,
            "Line weight",
            help="From hair lines to brush strokes, for engines that draw lines.",
            minimum=0,
            maximum=1,
        ),
        Parameter(
            "flatness",
            "number",
            0.5,
            "Flatness",
            help="From a photo's shades to a few flat colours, for engines that draw areas.",
            minimum=0,
            maximum=1,
        ),
        *DIFFUSION,
        Parameter("guidance_scale", "number", 7.5, "Guidance", minimum=1, maximum=20, advanced=True),
        *_every_operation("ghibli-diffusion", "xdog"),
    ),
)
STYLE_AGED = Operation(
    name="style_aged",
    path="style/aged",
    topic="style-aged-jobs",
    model="style_aged",
    title="Aged style",
    summary="An old print: faded, toned, grainy, darker in the corners, with a scratch or two.",
    parameters=(_AMOUNT, *DIFFUSION, *_every_operation("stable-diffusion-2-1", "film")),
)
BACKGROUND_REMOVE = Operation(
    name="background_remove",
    path="background/remove",
    topic="background-remove-jobs",
    model="background_remove",
    title="Remove background",
    summary="The subject on a transparent background, or on a colour of your choice.",
    parameters=(
        Parameter("bg_color", "color", None, "Background colour", help="Transparent when empty."),
        Parameter("crop", "boolean", default=False, label="Crop to the subject"),
        Parameter(
            "channels",
            "choice",
            "rgba",
            "Channels",
            help="rgba is the cut-out, alpha only its mask.",
            choices=("rgba", "alpha"),
            advanced=True,
        ),
        *_every_operation("rmbg-1.4", "isnet", "u2netp"),
    ),
)

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation for operation in (UPSCALE, ENHANCE, STYLE_COMIC, STYLE_AGED, BACKGROUND_REMOVE)
}
