"""
What can go wrong between us and the model server.

InferenceError
├── InferenceUnavailable   no answer through no fault of the request: server down, queue full or too slow (retryable)
├── InferenceTimeout       the deadline passed
├── InferenceCancelled     we cancelled it ourselves
├── InferenceRefused       the model said no to this image or these parameters, with a code of its own
└── InferenceBroken        anything else: a bug in the model, or in the contract between us
"""


class InferenceError(Exception):
    """Base of everything that an InferenceClient raises; the message is a sentence."""

    retryable = False


class InferenceUnavailable(InferenceError):
    """
    Nobody answered, or not to the end; the same request may work in a moment.

    started says whether the model had begun: then the request itself may be what brought the server down, and whoever
    retries should count.
    """

    retryable = True

    def __init__(self, message: str, *, started: bool = False) -> None:
        super().__init__(message)
        self.started = started


class InferenceTimeout(InferenceError):
    pass


class InferenceCancelled(InferenceError):
    pass


class InferenceRefused(InferenceError):
    """code is stable and the model's own (`unreadable_image`), message the sentence for the person who asked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class InferenceBroken(InferenceError):
    pass
