"""The names, types and shapes that we send, held against the models' own config.pbtxt."""

import json
import struct
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from inference import tensors
from inference.client import InferenceRequest, InferenceResult, Progress
from inference.errors import InferenceBroken, InferenceRefused

REPOSITORY = Path(__file__).resolve().parents[2] / "triton_models/repository"
CONFIGS = sorted(REPOSITORY.glob("*/config.pbtxt"))


def request_for(**parameters: object) -> InferenceRequest:
    return InferenceRequest(**{"model": "upscale", "image": b"\xff\xd8 photo", "request_id": "job-1", **parameters})


def contents(message: service_pb2.ModelInferRequest) -> dict[str, bytes]:
    return dict(zip((each.name for each in message.inputs), message.raw_input_contents, strict=True))


def answer(**outputs: bytes) -> service_pb2.ModelInferResponse:
    response = service_pb2.ModelInferResponse(model_name="upscale")
    for name, content in outputs.items():
        response.outputs.add(name=name)
        response.raw_output_contents.append(content)
    return response


def string(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
class TestConfig:
    def test_is_named_after_its_folder_and_runs_on_the_gpu(self, path: Path) -> None:
        config = self.parse(path)

        (group,) = config.instance_group
        assert config.name == path.parent.name
        assert (group.kind, group.count, list(group.gpus)) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, 1, [0])

    def test_takes_the_inputs_that_we_send(self, path: Path) -> None:
        config = self.parse(path)

        assert [
            self.as_spec(each, ragged=each.allow_ragged_batch, optional=each.optional) for each in config.input
        ] == [*tensors.INPUTS]

    def test_gives_the_outputs_that_we_read(self, path: Path) -> None:
        config = self.parse(path)

        assert [self.as_spec(each, ragged=False, optional=False) for each in config.output] == [*tensors.OUTPUTS]

    def test_streams_its_progress(self, path: Path) -> None:
        assert self.parse(path).model_transaction_policy.decoupled

    def test_batches_up_to_four_and_ships_no_preferred_sizes(self, path: Path) -> None:
        config = self.parse(path)

        assert config.max_batch_size == 4
        assert config.dynamic_batching.max_queue_delay_microseconds == 100_000
        assert not config.dynamic_batching.preferred_batch_size

    def test_lets_no_endless_queue_fill_the_memory(self, path: Path) -> None:
        policy = self.parse(path).dynamic_batching.default_queue_policy

        assert policy.max_queue_size == 64
        # A time limit belongs to the caller: a missed deadline cancels the request wherever it is.
        assert policy.default_timeout_microseconds == 0

    @staticmethod
    def parse(path: Path) -> model_config_pb2.ModelConfig:
        return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())

    @staticmethod
    def as_spec(tensor: object, *, ragged: bool, optional: bool) -> tensors.TensorSpec:
        datatype = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_").replace("STRING", "BYTES")
        return tensors.TensorSpec(tensor.name, datatype, tuple(tensor.dims), optional=optional, ragged=ragged)


class TestEncode:
    def test_sends_the_file_as_it_is_and_nothing_that_was_left_open(self) -> None:
        message = tensors.encode(request_for())

        assert message.model_name == "upscale"
        assert message.id == "job-1"
        assert contents(message) == {"IMAGE": b"\xff\xd8 photo"}
        assert list(message.inputs[0].shape) == [1, 8]

    def test_sends_zero_which_is_not_the_same_as_left_open(self) -> None:
        message = tensors.encode(request_for(strength=0.0, seed=0))

        assert contents(message)["STRENGTH"] == struct.pack("<f", 0.0)
        assert contents(message)["SEED"] == struct.pack("<q", 0)

    def test_sends_text_in_utf8_behind_its_length(self) -> None:
        message = tensors.encode(request_for(prompt="café", negative_prompt="雨"))

        assert contents(message)["PROMPT"] == b"\x05\x00\x00\x00caf\xc3\xa9"
        assert contents(message)["NEGATIVE_PROMPT"] == b"\x03\x00\x00\x00\xe9\x9b\xa8"

    def test_sends_options_as_json(self) -> None:
        message = tensors.encode(request_for(options={"engine": "light", "crop": True}))

        assert json.loads(contents(message)["OPTIONS"][4:]) == {"engine": "light", "crop": True}

    def test_sends_an_empty_file_for_the_model_to_refuse(self) -> None:
        message = tensors.encode(request_for(image=b""))

        assert list(message.inputs[0].shape) == [1, 0]

    @pytest.mark.parametrize(("name", "value"), [("seed", 2**63), ("steps", 2**31), ("scale", 1.5)])
    def test_refuses_a_number_that_does_not_fit(self, name: str, value: float) -> None:
        with pytest.raises(InferenceRefused, match=name.upper()) as refused:
            tensors.encode(request_for(**{name: value}))

        assert refused.value.code == "invalid_parameter"


class TestDecode:
    def test_reads_progress_without_the_noise_of_a_float32(self) -> None:
        assert tensors.decode(answer(PROGRESS=struct.pack("<f", 0.4))) == Progress(0.4, None)

    def test_reads_a_preview_beside_the_progress(self) -> None:
        content = answer(PROGRESS=struct.pack("<f", 0.5), PREVIEW=b"\xff\xd8 small")

        assert tensors.decode(content) == Progress(0.5, b"\xff\xd8 small")

    def test_reads_the_result_and_what_is_told_about_it(self) -> None:
        content = answer(RESULT=b"\x89PNG", INFO=string('{"batch_size": 2}'))

        assert tensors.decode(content) == InferenceResult(b"\x89PNG", {"batch_size": 2})

    def test_reads_a_preview_beside_the_result(self) -> None:
        content = answer(RESULT=b"\x89PNG", PREVIEW=b"\xff\xd8 small", INFO=string("{}"))

        assert tensors.decode(content) == InferenceResult(b"\x89PNG", {}, b"\xff\xd8 small")

    @pytest.mark.parametrize(
        "content",
        [
            answer(),
            answer(RESULT=b"\x89PNG"),
            answer(RESULT=b"\x89PNG", INFO=string("{")),
            answer(RESULT=b"\x89PNG", INFO=b""),
            answer(PROGRESS=b"\x00"),
        ],
        ids=["nothing", "no info", "half an info", "empty info", "half a number"],
    )
    def test_calls_an_answer_broken_that_breaks_the_contract(self, content: service_pb2.ModelInferResponse) -> None:
        with pytest.raises(InferenceBroken, match="upscale"):
            tensors.decode(content)


class TestRefusal:
    def test_parts_code_and_sentence(self) -> None:
        refusal = tensors.refusal("image_too_large: It has 60 megapixels: too many.")

        assert (refusal.code, refusal.message) == ("image_too_large", "It has 60 megapixels: too many.")

    @pytest.mark.parametrize(
        "message",
        ["internal: ValueError in the model.", "[request id: x] input 'IMAGE' batch size does not match", ""],
    )
    def test_is_not_made_of_a_failure(self, message: str) -> None:
        assert tensors.refusal(message) is None
