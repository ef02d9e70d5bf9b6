"""Reports its progress ten times a second for six seconds, as a slow engine would."""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

STEPS, STEP_SECONDS = 60, 0.1


class TritonPythonModel:
    def execute(self, requests: list) -> None:
        senders = [request.get_response_sender() for request in requests]
        for step in range(STEPS):
            time.sleep(STEP_SECONDS)
            progress = pb_utils.Tensor("PROGRESS", np.array([[step / STEPS]], dtype=np.float32))
            for sender in senders:
                sender.send(pb_utils.InferenceResponse([progress]))
        for request, sender in zip(requests, senders, strict=True):
            image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
            info = {
                "engine": {"name": "stepper", "version": "1", "weights_sha256": ""},
                "format": "jpeg",
                "width": 1,
                "height": 1,
                "batch_size": len(requests),
            }
            answer = pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor("RESULT", image),
                    pb_utils.Tensor("INFO", np.array([[json.dumps(info)]], dtype=object)),
                ]
            )
            sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
