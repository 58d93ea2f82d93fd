"""The cache of responses: what is in its key, and that a batch is never torn."""

import numpy as np
import pytest

from mmrl.data.media.reader import MediaError
from mmrl.evaluation import Completion, EvaluationJob, Request, Scorer, evaluate
from mmrl.evaluation.media_sampler import EngineError, MediaSampler
from mmrl.evaluation.response_cache import ResponseCache
from tests import run_fixtures, tiny_models

SETTINGS = {
    "weights": "w", "pixels": "p", "chat_template": "c", "decoding": {"temperature": 1.0},
    "engine": {"name": "made"}, "condition": "full", "frames": {},
}  # fmt: skip


class Model:
    """Answers with how often it was asked."""

    def __init__(self, wrong=(), words=""):
        self.asked, self.wrong, self.words = [], wrong, words

    def text(self, example):
        if example.id == "untellable":
            raise ValueError("no template has words for it")
        return example.question + self.words

    def answer(self, examples, media, samples, seed):
        if any(example.id in self.wrong for example in examples):
            raise RuntimeError("out of memory")
        self.asked.append([(example.id, sample) for example, sample in zip(examples, samples, strict=True)])
        return [
            Completion(f"{e.id} {len(self.asked)}", 2, request=Request("", 7), answer_logprob=-0.5) for e in examples
        ]


class Breaking(Model):
    """Answers until it is asked about one question; from then on its device answers nothing, as after a CUDA assert."""

    def __init__(self, breaks):
        super().__init__()
        self.breaks, self.broken = breaks, False

    def answer(self, examples, media, samples, seed):
        self.broken = self.broken or any(example.id == self.breaks for example in examples)
        if self.broken:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super().answer(examples, media, samples, seed)


class Reader:
    """Hands out clips by name."""

    def __init__(self, seed=0, missing=()):
        self.seed, self.missing = seed, missing

    def ahead(self, examples): ...

    def load(self, example):
        if example.id in self.missing:
            raise MediaError(example.id, "no such file", "a file", "encode_media")
        return tuple(
            tiny_models.clip(self.seed) if m.kind == "video" else tiny_models.image(self.seed)
            for m in example.every_media
        )


EXAMPLES = [tiny_models.example("a"), tiny_models.example("b"), tiny_models.example("c", ())]


def ask(cache, model=None, reader=None, examples=EXAMPLES, seed=0, sample=0, condition="full", **settings):
    sampler = MediaSampler(model or Model(), reader or Reader(), seed, condition, SETTINGS | settings, cache)
    return sampler(examples, [sample] * len(examples))


def test_the_same_again_is_not_generated_again(tmp_path):
    first = ask(ResponseCache(tmp_path))
    model = Model()
    assert ask(ResponseCache(tmp_path), model) == first  # as another process finds it
    assert model.asked == []
    assert first[0].request.tokens == 7
    assert ask(ResponseCache(tmp_path), model, condition="freeze", examples=EXAMPLES[2:])[0].text == first[2].text


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "other"}, {"decoding": {"temperature": 0.5}}, {"engine": {"name": "vllm"}}, {"chat_template": "d"},
        {"pixels": "q"}, {"seed": 1}, {"sample": 1}, {"reader": Reader(seed=1)}, {"model": Model(words="!")},
        {"condition": "reversed"},
    ],
)  # fmt: skip
def test_whatever_decides_the_response_is_in_the_key(tmp_path, change):
    first = ask(ResponseCache(tmp_path))
    model = change.pop("model", Model())
    again = ask(ResponseCache(tmp_path), model, **change)
    assert len(model.asked) == 1
    assert {one.request.key for one in first[:2]}.isdisjoint(one.request.key for one in again)


def test_a_batch_of_which_one_is_new_is_generated_whole(tmp_path):
    ask(ResponseCache(tmp_path), examples=EXAMPLES[:2])
    model = Model()
    ask(ResponseCache(tmp_path), model)
    assert [len(batch) for batch in model.asked] == [3]


def test_half_a_line_is_cut_off(tmp_path):
    ask(ResponseCache(tmp_path))
    path = tmp_path / "responses.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert len(ResponseCache(tmp_path).kept) == 2
    ask(ResponseCache(tmp_path))
    assert len(path.read_bytes().splitlines()) == 3


def test_one_missing_file_costs_its_own_item(tmp_path):
    """Video-R1's script marks all 64 items of a batch as wrong where one video fails."""
    made = ask(None, reader=Reader(missing=("b",)))
    assert [one.status for one in made] == ["ok", "media_error", "ok"]
    assert "no such file" in made[1].error
    assert made[1].request is None


def test_one_item_that_cannot_be_generated_costs_itself():
    made = ask(None, Model(wrong=("b",)))
    assert [one.status for one in made] == ["ok", "engine_error", "ok"]
    assert made[1].error == "RuntimeError: out of memory"


def test_a_question_without_words_costs_itself():
    made = ask(None, examples=[tiny_models.example("untellable"), *EXAMPLES])
    assert [one.status for one in made] == ["engine_error", "ok", "ok", "ok"]


def test_an_engine_that_never_worked_is_no_property_of_the_items():
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(None, Model(wrong=("a", "b", "c")))
    with pytest.raises(ValueError, match="no template"):
        ask(None, examples=[tiny_models.example("untellable")])


def test_an_engine_that_stopped_working_ends_the_evaluation_and_costs_no_item(tmp_path):
    """Without this, every question behind the one that broke the device is recorded as wrong."""
    examples = [tiny_models.example(f"q{n}", ()) for n in range(8)]

    def measure(model):
        sampler = MediaSampler(model, Reader(), 0, settings=SETTINGS)
        return evaluate(EvaluationJob("L1", examples, sampler, Scorer(lambda *_: {"accuracy": 1.0}), tmp_path, batch=2))

    with pytest.raises(
        EngineError, match=r"now fails at item 'q1', too, which it answered before .*Nothing of this batch"
    ):
        measure(Breaking("q3"))
    assert [row["item"] for row in run_fixtures.lines(tmp_path / "samples.jsonl")] == ["q0", "q1"]
    assert measure(Model()).statuses == {"ok": 8}  # with a working engine it goes on


def test_many_failures_in_a_row_are_the_items_own_while_the_engine_works():
    examples = [tiny_models.example(name, ()) for name in "abcdef"]
    model = Model(wrong=tuple("bcdef"))
    sampler = MediaSampler(model, Reader(), 0, settings=SETTINGS)
    statuses = [sampler(examples[start : start + 2], [0, 0]) for start in (0, 2, 4)]
    assert [one.status for batch in statuses for one in batch] == ["ok"] + ["engine_error"] * 5


def test_failures_are_not_cached(tmp_path):
    ask(ResponseCache(tmp_path), Model(wrong=("b",)))
    assert len(ResponseCache(tmp_path).kept) == 2
    assert [one.status for one in ask(ResponseCache(tmp_path))] == ["ok"] * 3


def test_what_was_shown_is_on_record():
    (shown, picture) = ask(None, reader=Reader(), condition="reversed")[0].request.media
    assert (shown.kind, shown.size, shown.indices, shown.reader) == ("video", (56, 56), (3, 2, 1, 0), "made")
    assert shown.seconds == tuple(np.round(tiny_models.clip(0).timestamps, 6))
    assert picture.indices is None
    assert len(picture.sha256) == 64
