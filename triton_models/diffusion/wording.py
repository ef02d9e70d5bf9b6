"""What the models are told in words, and what of it they can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def unread_warnings(tokenizer: Any, prompts: dict[str, str]) -> list[str]:  # noqa: ANN401 - transformers has no types
    """
    Return a sentence for each prompt, by the name of its parameter, of which the model reads the beginning only.

    CLIP's text encoder has 77 places, two of them for the beginning and the end. The prompt itself is not repeated:
    warnings are stored.
    """
    warnings = []
    room = tokenizer.model_max_length
    for name, text in prompts.items():
        tokens = len(tokenizer(text, truncation=False, verbose=False).input_ids)
        if tokens > room:
            warnings.append(
                f"The model reads {room - 2} tokens of the {name}, the words of its style among them; "
                f"the last {tokens - room} were not used."
            )
    return warnings
