"""Check that prompts and completions fit into the model's context."""

from collections.abc import Iterator, Sequence

from mmrl.types import Prompt

ADVICE = "show fewer frames (frames) or smaller ones (model.video_pixels), or exclude the example"


class PromptError(ValueError):
    """A prompt and its completion do not fit into the model's context. It is raised before anything is sampled."""


def too_long(prompts: Sequence[Prompt], context: int, new_tokens: int, most: int | None = None) -> Iterator[str]:
    """Yield an error message for each prompt that leaves no room for ``new_tokens``, or has more tokens than ``most``.

    ``context`` bounds tokens and positions; the positions exceed the tokens if few frames are shown of a long video.
    """
    for prompt in prompts:
        tokens, name = len(prompt.tokens), prompt.example.id
        if most is not None and tokens > most:
            yield f"example {name}: expected at most data.max_prompt_tokens={most} tokens, found {tokens}; {ADVICE}"
        elif max(tokens, prompt.next_position) + new_tokens > context:
            yield (
                f"example {name}: expected a prompt that leaves room for {new_tokens} new tokens (max_new_tokens) in the "
                f"model's context of {context}, found {tokens} tokens up to position {prompt.next_position}; {ADVICE}"
            )


def refuse(problems: Sequence[str]) -> None:
    """Raise PromptError with the first problem, if there is any."""
    if problems:
        rest = len(problems) - 1
        raise PromptError(problems[0] + (f" (and {rest} more)" if rest else ""))
