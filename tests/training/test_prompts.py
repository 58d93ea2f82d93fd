"""What a feeder hands to the trainer, and what it counts, refuses and leaves out."""

from types import SimpleNamespace

import pytest
import torch

from mmrl.data.media.reader import MediaError
from mmrl.models.context import PromptError
from mmrl.training.prompts import PromptFeeder
from tests import tiny_models

EXAMPLES = [
    tiny_models.example("film", ("video",)),
    tiny_models.example("both", ("video", "image")),
    tiny_models.example("text", ()),
    tiny_models.example("photo", ("image",)),
]


class Reader:
    """Media by what an example asks for; none of those in ``bad``."""

    def __init__(self, bad=()):
        self.bad, self.asked_ahead = bad, []

    def ahead(self, examples):
        self.asked_ahead.append([example.id for example in examples])

    def load(self, example):
        if example.id in self.bad:
            raise MediaError(f"{example.id}.mp4", "nothing", "a video", example=example.id)
        return [tiny_models.clip() if medium.kind == "video" else tiny_models.image() for medium in example.media]


class Stream:
    """Two examples a step, from the first on again when all were seen."""

    def batch(self, step):
        return tuple(EXAMPLES[(2 * step + i) % len(EXAMPLES)] for i in range(2))


class Ranks:
    """A rank beside another, of which it is known what that one gathers."""

    def __init__(self, *others):
        self.others = list(others)

    def gather(self, mine):
        return [mine, self.others.pop(0) if self.others else []]


def feeder(on_bad_media="stop", bad=(), ranks=None, **options):
    return PromptFeeder(tiny_models.policy(), Reader(bad), Stream(), ranks or Ranks(), on_bad_media, **options)


def test_a_step_asks_for_the_media_of_the_next_one():
    fed = feeder()
    assert [example.id for example in fed.examples(0)] == ["film", "both"]
    assert [example.id for example in fed.examples(1)] == ["text", "photo"]
    assert fed.reader.asked_ahead == [["film", "both", "text", "photo"], ["text", "photo", "film", "both"]]


def test_prompts_are_in_the_order_of_their_examples_and_are_counted_with_their_media():
    fed = feeder()
    prompts = fed.prepare(EXAMPLES)
    assert [prompt.example.id for prompt in prompts] == ["film", "both", "text", "photo"]
    assert (fed.prompts_made, fed.media_made, fed.skipped) == (4, 4, 0)
    fed.prepare(EXAMPLES[:2])
    assert (fed.prompts_made, fed.media_made) == (6, 7)


def test_bad_media_stop_the_run_and_the_error_says_how_to_go_on():
    fed = feeder(bad={"both", "photo"})
    with pytest.raises(MediaError, match=r"both\.mp4 \(example both\)") as error:
        fed.prepare(EXAMPLES)
    assert error.value.__notes__ == ["data.on_bad_media=skip goes on without such examples, and counts them"]
    assert (fed.prompts_made, fed.skipped) == (0, 0)


def test_bad_media_of_another_rank_stop_this_one_too():
    theirs = MediaError("theirs.mp4", "nothing", "a video", example="theirs")
    with pytest.raises(MediaError, match="theirs"):
        feeder(ranks=Ranks([theirs])).prepare(EXAMPLES)


def test_skipped_examples_are_left_out_and_those_of_all_ranks_are_counted():
    theirs = MediaError("theirs.mp4", "nothing", "a video", example="theirs")
    fed = feeder("skip", bad={"both", "photo"}, ranks=Ranks([theirs]))
    assert [prompt.example.id for prompt in fed.prepare(EXAMPLES)] == ["film", "text"]
    assert (fed.prompts_made, fed.media_made, fed.skipped) == (2, 1, 3)
    assert feeder("skip", bad={"both"}).prepare(EXAMPLES[1:2]) == []


def test_a_prompt_without_room_for_its_completion_is_refused_and_counted_nowhere():
    fed = feeder()
    longest = max(max(len(prompt.tokens), prompt.next_position) for prompt in fed.prepare(EXAMPLES))
    room = fed.policy.context - longest
    assert len(feeder(new_tokens=room).prepare(EXAMPLES)) == 4
    late = feeder(new_tokens=room + 1)
    with pytest.raises(PromptError, match=f"room for {room + 1} new tokens"):
        late.prepare(EXAMPLES)
    assert late.prompts_made == 0
    with pytest.raises(PromptError, match=r"expected at most data\.max_prompt_tokens=3 tokens.* \(and 3 more\)"):
        feeder(max_prompt_tokens=3).prepare(EXAMPLES)


def test_a_prompt_of_another_rank_that_is_too_long_stops_this_one_too():
    with pytest.raises(PromptError, match="theirs is too long"):
        feeder(ranks=Ranks([], ["theirs is too long"])).prepare(EXAMPLES)


def test_media_that_do_not_fit_say_what_would_help(monkeypatch):
    fed = feeder()

    def look(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fed, "policy", SimpleNamespace(prompts=fed.policy.prompts, context=10**6, encode_media=look))
    with pytest.raises(torch.OutOfMemoryError) as error:
        fed.prepare(EXAMPLES)
    assert error.value.__notes__[0].startswith("media are encoded one by one, so that no batch can be made smaller; ")
