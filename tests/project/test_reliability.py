"""docs/reliability.md names the test that proves each promise: what it names must be there."""

import ast
import re

import pytest

from tests.running_site import ROOT

DOCUMENT = (ROOT / "docs/reliability.md").read_text()
# `path/to/test_x.py::TestAThing::test_does_what_it_should`, or a whole class.
NAMED_TESTS = sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)+)`", DOCUMENT)))
NAMED_FILES = sorted(set(re.findall(r"`([\w/]+\.(?:py|tf|md))`", DOCUMENT)))


def names_in(path: str) -> set[str]:
    names = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}::{method.name}" for method in node.body if isinstance(method, FUNCTIONS)}
    return names


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class TestTheReliabilityDocument:
    def test_names_a_test_for_each_promise(self) -> None:
        promises = re.findall(r"^### .*?(?=^##|\Z)", DOCUMENT, flags=re.MULTILINE | re.DOTALL)

        assert len(promises) >= 9
        assert [text.splitlines()[0] for text in promises if "::Test" not in text] == []

    @pytest.mark.parametrize("test", NAMED_TESTS)
    def test_names_tests_that_are_there(self, test: str) -> None:
        path, _, name = test.partition("::")

        assert name in names_in(path)

    @pytest.mark.parametrize("path", NAMED_FILES)
    def test_names_files_that_are_there(self, path: str) -> None:
        assert (ROOT / path).is_file()
