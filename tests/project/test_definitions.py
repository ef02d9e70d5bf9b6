"""The site and the model server each say what an operation accepts; here the two are held against each other."""

from pathlib import Path

import pytest

from jobs import metrics
from jobs.operations import OPERATIONS, Operation
from triton_models import engines, errors
from triton_models.parameters import COMMON, resolve
from triton_models.server_command import REPOSITORY
from triton_models.server_wheel import PROJECT_ROOT

EVERY = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.name)


def files(model: Path) -> dict[str, str]:
    """Return the text of every file of a model, its name left out."""
    found = {str(path.relative_to(model)): path for path in model.rglob("*") if "__pycache__" not in path.parts}
    return {name: path.read_text().replace(model.name, "MODEL") for name, path in found.items() if path.is_file()}


class TestTheModelServer:
    def test_has_every_operation_and_no_other(self) -> None:
        assert {operation.model for operation in OPERATIONS.values()} == set(engines.OPERATIONS)
        assert {folder.name for folder in REPOSITORY.iterdir() if folder.is_dir()} == set(engines.OPERATIONS)

    @EVERY
    def test_knows_the_same_parameters_with_the_same_defaults(self, operation: Operation) -> None:
        accepted = {**COMMON, **engines.OPERATIONS[operation.model].accepts}

        assert {parameter.name: parameter.default for parameter in operation.parameters} == accepted

    @EVERY
    def test_takes_whatever_the_site_lets_through(self, operation: Operation) -> None:
        accepted = engines.OPERATIONS[operation.model].accepts

        for parameter in operation.parameters:
            for value in (parameter.minimum, parameter.maximum, *parameter.choices):
                if value is not None:
                    assert resolve({parameter.name: value}, accepted)[1] == []

    @EVERY
    def test_has_the_engines_that_may_be_asked_for_and_no_other(self, operation: Operation) -> None:
        (engine,) = (parameter for parameter in operation.parameters if parameter.name == "engine")

        named = [spec.name for spec in engines.OPERATIONS[operation.model].engines]
        assert engine.choices == ("auto", "light", *named)

    @pytest.mark.parametrize("name", sorted(engines.OPERATIONS))
    def test_has_folders_that_differ_in_their_name_alone(self, name: str) -> None:
        assert files(REPOSITORY / name) == files(REPOSITORY / "upscale")


class TestAFailure:
    def test_that_is_called_the_callers_fault_is_one_that_the_model_server_knows(self) -> None:
        codes = {error.code for error in _every(errors.ModelError) if hasattr(error, "code")}

        assert codes >= metrics.THEIRS


def _every(kind: type[errors.ModelError]) -> list[type[errors.ModelError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _every(child))]


class TestTheDecisions:
    def test_have_each_a_number_of_their_own(self) -> None:
        records = sorted((PROJECT_ROOT / "docs/decisions").glob("*.md"))

        numbers = [record.name.partition("-")[0] for record in records]
        titles = [record.read_text().partition(".")[0] for record in records]
        assert numbers == sorted(set(numbers))
        assert titles == [f"# {int(number)}" for number in numbers]
