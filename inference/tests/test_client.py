import threading

from inference.client import Cancellation, InferenceRequest


class TestCancellation:
    def test_calls_back_when_cancelled(self) -> None:
        cancellation, calls = Cancellation(), []
        cancellation.on_cancel(lambda: calls.append("stop"))

        cancellation.cancel()

        assert calls == ["stop"]
        assert cancellation.cancelled

    def test_calls_back_at_once_when_it_is_too_late(self) -> None:
        cancellation, calls = Cancellation(), []
        cancellation.cancel()

        cancellation.on_cancel(lambda: calls.append("stop"))

        assert calls == ["stop"]

    def test_calls_back_only_once(self) -> None:
        cancellation, calls = Cancellation(), []
        cancellation.on_cancel(lambda: calls.append("stop"))

        cancellation.cancel()
        cancellation.cancel()

        assert calls == ["stop"]

    def test_forgets_a_callback_that_was_taken_back(self) -> None:
        cancellation, calls = Cancellation(), []
        forget = cancellation.on_cancel(lambda: calls.append("stop"))

        forget()
        forget()
        cancellation.cancel()

        assert calls == []

    def test_may_be_asked_for_by_its_own_callback(self) -> None:
        cancellation, seen = Cancellation(), []
        cancellation.on_cancel(lambda: seen.append(cancellation.cancelled))
        cancellation.on_cancel(cancellation.cancel)

        cancellation.cancel()

        assert seen == [True]

    def test_loses_no_callback_to_a_race(self) -> None:
        for _ in range(200):
            cancellation, calls = Cancellation(), []
            canceller = threading.Thread(target=cancellation.cancel)
            canceller.start()
            cancellation.on_cancel(lambda calls=calls: calls.append("stop"))
            canceller.join()

            assert calls == ["stop"]


class TestInferenceRequest:
    def test_keeps_pictures_and_prompts_out_of_logs(self) -> None:
        request = InferenceRequest(model="upscale", image=b"pixels", request_id="job-1", prompt="my secret garden")

        assert "secret" not in repr(request)
        assert "pixels" not in repr(request)
