"""What the models are told in words, and what of it they can read."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from triton_models.parameters import Parameters


@dataclass(frozen=True)
class Wording:
    """
    The words of an engine.

    lead: what makes the style, in front of everything, because the end of a long prompt is not read. subject: what
    follows when nothing was asked for. negative: what to keep away from when nothing else was asked for.
    """

    lead: str
    subject: str
    negative: str

    def prompt(self, parameters: Parameters) -> str:
        return ", ".join(filter(None, (self.lead, parameters.prompt.strip() or self.subject)))

    def negative_prompt(self, parameters: Parameters) -> str:
        return parameters.negative_prompt.strip() or self.negative


class Reader:
    """
    A tokenizer of its own, to count with.

    A tokenizer of transformers keeps whether it truncates in itself: used by two threads, one has the other's way. The
    pipeline's belongs to the thread that calls the pipeline.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - transformers has no types
        self._tokenizer = copy.deepcopy(tokenizer)
        self._lock = threading.Lock()

    def unread_warnings(self, prompts: Mapping[str, str]) -> list[str]:
        """
        Return a sentence for each prompt, by the name of its parameter, of which the model reads the beginning only.

        CLIP's text encoder has 77 places, two of them for the beginning and the end. The prompt itself is not
        repeated: warnings are stored.
        """
        room = self._tokenizer.model_max_length
        found = {name: self._tokens(text) for name, text in prompts.items()}
        return [
            f"The model reads {room - 2} tokens of the {name}, the words of its style among them; "
            f"the last {tokens - room} were not used."
            for name, tokens in found.items()
            if tokens > room
        ]

    def _tokens(self, text: str) -> int:
        with self._lock:
            return len(self._tokenizer(text, truncation=False, verbose=False).input_ids)
