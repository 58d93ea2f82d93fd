"""A feeder decides which examples become prompts, when they are decoded, and what happens to media that cannot be read."""

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
    """Makes prompts of examples: decodes ahead of need, and does what the config says of media that cannot be read."""

    policy: Policy
    reader: MediaReader
    stream: Stream
    ranks: Ranks
    on_bad_media: str
    new_tokens: int = 0  # for which a prompt must leave room
    max_prompt_tokens: int | None = None
    skipped: int = 0  # examples of all ranks whose media could not be read
    prompts_made: int = 0  # of this rank since the run began
    media_made: int = 0  # in these

    def examples(self, step: int) -> Sequence[Example]:
        """Gives this rank's examples; those of the next step begin to be decoded."""
        now = self.stream.batch(step)
        self.reader.ahead([*now, *self.stream.batch(step + 1)])
        return now

    def prepare(self, examples: Sequence[Example]) -> list[Prompt]:
        """Makes prompts of the examples whose media can be read.

        All ranks raise MediaError where one of them has media that cannot be read, unless the config skips such examples, and
        PromptError where a prompt is too long.
        """
        kept, media, bad = load_media(self.reader, examples)
        everybody = [error for errors in self.ranks.gather(bad) for error in errors]
        if everybody and self.on_bad_media == "stop":
            everybody[0].add_note("data.on_bad_media=skip goes on without such examples, and counts them")
            raise everybody[0]
        self.skipped += len(everybody)
        prompts = self.policy.prompts(kept, media)
        long = list(too_long(prompts, self.policy.context, self.new_tokens, self.max_prompt_tokens))
        refuse([problem for problems in self.ranks.gather(long) for problem in problems])
        try:
            self.policy.encode_media(prompts)
        except torch.OutOfMemoryError as error:
            error.add_note(f"media are encoded one by one, so that no batch can be made smaller; {REMEDY}")
            raise
        self.prompts_made += len(prompts)
        self.media_made += sum(len(example.every_media) for example in kept)
        return prompts


def load_media(reader: MediaReader, examples: Sequence[Example]) -> tuple[list[Example], list[list], list[MediaError]]:
    """Gives the examples whose media can be read, these media, and the errors of the others."""
    kept, media, bad = [], [], []
    for example in examples:
        try:
            media.append(reader.load(example))
            kept.append(example)
        except MediaError as error:
            bad.append(error)
    return kept, media, bad
