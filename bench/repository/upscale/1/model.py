"""Sleeps 200 ms whatever the batch, as an ideal GPU would: what is left of the time is the platform's own."""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

SECONDS = 0.2


class TritonPythonModel:
    def execute(self, requests: list) -> None:
        time.sleep(SECONDS)
        for request in requests:
            image = pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy()
            info = {
                "engine": {"name": "sleeper", "version": "1", "weights_sha256": ""},
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
            request.get_response_sender().send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
