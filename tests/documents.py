"""What a document names: tests and files, which must be there."""

import ast
import re

from tests.running_site import ROOT

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def named_tests(document: str) -> list[str]:
    """Return what is written as `path/to/test_x.py::TestAThing::test_does_what_it_should`, or a whole class of it."""
    return sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)+)`", document)))


def is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    return name in _names_in(path)


def _names_in(path: str) -> set[str]:
    names = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}::{method.name}" for method in node.body if isinstance(method, _FUNCTIONS)}
    return names
