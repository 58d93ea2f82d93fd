"""The feeder turns this rank's examples into prompts, decodes their media ahead, and handles media that cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mmrl.data.media.reader import MediaError, MediaReader
from mmrl.data.stream import Stream
from mmrl.models.context import refuse, too_long
from mmrl.models.policy import Policy
from mmrl.runtime.out_of_memory import REMEDY
from mmrl.runtime.ranks import Ranks
from mmrl.types import Example, Prompt


@dataclass
class PromptFeeder:
    """Turns examples into prompts; decodes media ahead, and stops at or skips unreadable media, as the config says."""

    policy: Policy
    reader: MediaReader
    stream: Stream
    ranks: Ranks
    on_bad_media: str
    new_tokens: int = 0  # the completion's tokens, for which a prompt must leave room
    max_prompt_tokens: int | None = None
    skipped: int = 0  # examples of all ranks with unreadable media
    prompts_made: int = 0  # prompts of this rank since the run began
    media_made: int = 0  # media in these prompts

    def examples(self, step: int) -> Sequence[Example]:
        """Returns this rank's examples of a step, and starts to decode those of the next step."""
        now = self.stream.batch(step)
        self.reader.ahead([*now, *self.stream.batch(step + 1)])
        return now

    def prepare(self, examples: Sequence[Example]) -> list[Prompt]:
        """Returns prompts of the examples whose media can be read.

        All ranks raise MediaError if one of them has unreadable media, unless the config skips such examples, and PromptError if
        a prompt is too long.
        """
        readable, media, bad = load_media(self.reader, examples)
        everybody = [error for errors in self.ranks.gather(bad) for error in errors]
        if everybody and self.on_bad_media == "stop":
            everybody[0].add_note("data.on_bad_media=skip goes on without such examples, and counts them")
            raise everybody[0]
        self.skipped += len(everybody)
        prompts = self.policy.prompts(readable, media)
        long = list(too_long(prompts, self.policy.context, self.new_tokens, self.max_prompt_tokens))
        refuse([problem for problems in self.ranks.gather(long) for problem in problems])
        try:
            self.policy.encode_media(prompts)
        except torch.OutOfMemoryError as error:
            error.add_note(f"media are encoded one by one, so that no batch can be made smaller; {REMEDY}")
            raise
        self.prompts_made += len(prompts)
        self.media_made += sum(len(example.every_media) for example in readable)
        return prompts


def load_media(reader: MediaReader, examples: Sequence[Example]) -> tuple[list[Example], list[list], list[MediaError]]:
    """Returns the examples whose media can be read, their media, and the errors of the others."""
    readable, media, bad = [], [], []
    for example in examples:
        try:
            media.append(reader.load(example))
            readable.append(example)
        except MediaError as error:
            bad.append(error)
    return readable, media, bad
