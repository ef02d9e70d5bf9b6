"""
Reads a provider's schema out of the JavaScript that CDK Terrain generates from it.

The classes say of each attribute whether it is required, optional or computed; the functions beside them (for blocks)
and a method (for the resource itself) say its type. Together that is what a provider answers when Terraform asks for
its schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+)", re.MULTILINE)
_FIELD = re.compile(
    r"^    // (\S+) - computed: (true|false), optional: (true|false), required: (true|false)$", re.MULTILINE
)
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(.*?^\}", re.MULTILINE | re.DOTALL)
_TYPE = re.compile(
    r'^\s+(\w+): \{\n\s+value: .*\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w*)"',
    re.MULTILINE,
)
_CHILD = re.compile(
    r"= new (?:index_\d+\.|structs\w*_\d+\.)?(\w+?)(List|Set|Map)?(OutputReference)?\(this, \"[^\"]+\"(?:, (?:true|false))?\)"
)
_STORED = re.compile(r"(string|number|boolean|any)(List|Map)(List)?$")
_SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_READERS = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "new cdktn.StringMap": ["map", "string"],
}
_NESTING = {"list": "list", "set": "set", "struct": "single", "map": "map"}
_ROOTS = ("TerraformResource", "TerraformDataSource", "TerraformProvider")

Block = dict[str, dict[str, object]]


@dataclass(frozen=True)
class _Type:
    is_block: bool
    container: str
    stored: str

    def as_attribute(self) -> object:
        if self.container == "simple":
            return _SCALARS.get(self.stored, "dynamic")
        found = _STORED.match(self.stored)
        if not found:
            return "dynamic"
        scalar, container, nested = found.groups()
        if nested:
            return ["list", ["list", _SCALARS[scalar]]]
        kind = "map" if container == "Map" else self.container if self.container in {"list", "set"} else "list"
        return [kind, _SCALARS[scalar]]


@dataclass(frozen=True)
class _Field:
    """One attribute or block of a class: its flags, and the code that reads it."""

    name: str
    computed: bool
    optional: bool
    required: bool
    code: str


class ProviderSource:
    """The generated code of one resource, data source or of the provider itself."""

    def __init__(self, code: str) -> None:
        self._code = code

    def block(self) -> Block:
        """Return the schema's outermost block: `attributes` and `block_types`, as Terraform's protocol names them."""
        root = next(name for name, (base, _) in self._classes.items() if base in _ROOTS)
        return self._block(root)

    @cached_property
    def _classes(self) -> dict[str, tuple[str, str]]:
        return {head[1]: (head[2], body) for head, body in _sections(_CLASS, self._code)}

    @cached_property
    def _block_types(self) -> dict[str, dict[str, _Type]]:
        return {found[1].lower(): _types(found[0]) for found in _FUNCTION.finditer(self._code)}

    def _block(self, name: str) -> Block:
        base, body = self._classes[name]
        if base in _ROOTS:
            types = _types(body[body.find("synthesizeHclAttributes") :])
        else:
            types = self._block_types.get(name.removesuffix("OutputReference").lower(), {})
        result: Block = {"attributes": {}, "block_types": {}}
        for field in _fields(body):
            self._add(result, field, types.get(field.name))
        return result

    def _add(self, result: Block, field: _Field, type_: _Type | None) -> None:
        child, single = self._child(field)
        if type_ and type_.is_block and child:
            result["block_types"][field.name] = self._nested(field, type_, child, single=single)
            return
        result["attributes"][field.name] = {"type": _attribute_type(field, type_), **_flags(field)}

    def _nested(self, field: _Field, type_: _Type, child: str, *, single: bool) -> dict[str, object]:
        nesting = _NESTING.get(type_.container, "list")
        nested: dict[str, object] = {"nesting_mode": nesting, "block": self._block(child)}
        if nesting in {"list", "set"}:
            nested |= {"max_items": 1} if single else {}
            nested |= {"min_items": 1} if field.required else {}
        return nested

    def _child(self, field: _Field) -> tuple[str | None, bool]:
        """Return the class of a block's content, and whether there is at most one of it."""
        found = _CHILD.search(field.code)
        if not found:
            return None, False
        stem, container, single = found.groups()
        name = f"{stem}OutputReference" if not single else f"{stem}{container or ''}OutputReference"
        return (name if name in self._classes else None), bool(single)


def _sections(heading: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield every heading with the text from it to the next one."""
    heads = list(heading.finditer(text))
    for head, following in zip_longest(heads, heads[1:]):
        yield head, text[head.start() : following.start() if following else len(text)]


def _types(code: str) -> dict[str, _Type]:
    return {
        name: _Type(is_block == "true", container, stored) for name, is_block, container, stored in _TYPE.findall(code)
    }


def _fields(body: str) -> list[_Field]:
    return [
        _Field(head[1], *(flag == "true" for flag in head.groups()[1:]), code=code)
        for head, code in _sections(_FIELD, body)
    ]


def _attribute_type(field: _Field, type_: _Type | None) -> object:
    if type_:
        return type_.as_attribute()
    return next((kind for reader, kind in _READERS.items() if reader in field.code), "dynamic")


def _flags(field: _Field) -> dict[str, bool]:
    if field.required:
        return {"required": True}
    return {"optional": field.optional, "computed": field.computed or not field.optional}
