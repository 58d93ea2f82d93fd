"""Other families: what they see matters, decoding is explicit, and noise is keyed."""

import copy
import importlib.util
import math
from functools import partial

import pytest
import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mmrl.evaluation.samplers import GenerateSampler, choose_token
from mmrl.models.generic import GenericModel, check_chat_template, load_generic
from mmrl.models.generic_features import cache_features, cached_call
from mmrl.rollout.noise import uniforms
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import Decoding
from tests import tiny_models
from tests.models import tiny_generic

WORDS = pytest.mark.skipif(importlib.util.find_spec("num2words") is None, reason="SmolVLM's processor needs num2words")
FAMILIES = [pytest.param(name, marks=[WORDS] if name == "smolvlm" else []) for name in tiny_generic.FAMILIES]


@pytest.fixture(scope="module", params=FAMILIES)
def plain(request):
    return GenericModel(*tiny_generic.model(request.param), "plain")


def media(kinds, seed=0):
    return tuple(tiny_models.clip(seed) if kind == "video" else tiny_models.image(seed) for kind in kinds)


def answer(plain, kinds=("video", "image"), sample=0, seed=0, pictures=0, **decoding):
    model = GenerateSampler(plain, Decoding(**({"temperature": 0.0, "max_new_tokens": 6} | decoding)))
    return model.answer([tiny_models.example("a", kinds)], [media(kinds, pictures)], [sample], seed)[0]


def logps(plain, kinds, pictures):
    written = []

    def greedy(scores, step):
        logprobs = scores.log_softmax(-1)
        written.append(logprobs)
        return logprobs.argmax(-1), logprobs.max(-1).values

    plain.generate(tiny_models.example("a", kinds), media(kinds, pictures), greedy, 2)
    return written[0]


@pytest.mark.parametrize("kinds", [("video", "image"), ("video",), ("image",)])
def test_what_is_seen_matters(plain, kinds):
    assert (logps(plain, kinds, 0) - logps(plain, kinds, 1)).abs().max() > 1e-3
    assert torch.equal(logps(plain, kinds, 0), logps(plain, kinds, 0))


def test_a_question_without_media_is_asked_too(plain):
    assert answer(plain, ()).tokens > 0


def test_greedy_takes_the_most_likely_token_whatever_the_checkpoint_says(plain):
    first = answer(plain)
    plain.model.generation_config.temperature = 5.0
    assert answer(plain, sample=3, seed=9).text == first.text


def test_the_generation_defaults_of_a_checkpoint_are_not_used():
    model, processor = tiny_generic.model("llava_onevision")
    before = answer(GenericModel(model, processor, "plain"))
    model.generation_config = GenerationConfig(
        repetition_penalty=9.0, max_new_tokens=1, min_new_tokens=1, eos_token_id=2
    )
    plain = GenericModel(model, processor, "plain")
    assert plain.ends == {2, processor.tokenizer.eos_token_id}
    assert answer(plain).text[:3] == before.text[:3]


def test_sampling_is_keyed_by_seed_example_and_sample_and_leaves_the_global_state(plain):
    state = torch.get_rng_state()
    texts = [answer(plain, sample=n, temperature=1.0).text for n in (0, 1, 0)]
    assert texts[0] == texts[2] != texts[1]
    assert answer(plain, seed=1, temperature=1.0).text != texts[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_sampled_frequencies_are_the_probabilities():
    plain = GenericModel(*tiny_generic.model("llava_onevision"), "plain")
    wanted = logps(plain, (), 0).exp()[0]
    decoding, encoded = Decoding(temperature=1.0, max_new_tokens=1), []
    for n in range(80):
        choose = partial(choose_token, decoding, uniforms(0, 0, "a", [n], 1))
        encoded.append(plain.generate(tiny_models.example("a", ()), (), choose, 1).tokens[0])
    token = int(wanted.argmax())
    share = sum(one == token for one in encoded) / len(encoded)
    assert abs(share - float(wanted[token])) < 4 * math.sqrt(float(wanted[token]) / len(encoded))


def test_a_model_without_a_chat_template_is_one_clear_message():
    _, processor = tiny_generic.model("internvl")
    check_chat_template(processor, "DIR")
    processor.chat_template = None
    processor.tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"model.path: DIR has no chat template"):
        check_chat_template(processor, "DIR")


@pytest.mark.skipif(importlib.util.find_spec("num2words") is not None, reason="where num2words is missing")
def test_a_processor_that_needs_more_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", str)
    model, processor = tiny_generic.model("smolvlm")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ImportError, match=r"num2words.*mmrl\[eval\]"):
        load_generic(tmp_path, "plain", compute=torch.float32, device="cpu", attention="sdpa")


def test_questions_about_the_same_media_look_once_and_are_answered_alike(plain):
    """The same media thrice, others in between: as many passes as two questions took, and every bit the same."""
    looking, passes = copy.deepcopy(plain), []
    inner = looking.model.model
    tower = getattr(inner, "vision_tower", None) or inner.vision_model
    tower.register_forward_hook(lambda *_: passes.append(1))
    expected = [answer(looking, pictures=n) for n in (0, 1)]
    before = len(passes)
    cache_features(looking.model, memory := ByteCache(10**6))
    assert [answer(looking, pictures=n) for n in (0, 0, 1, 0)] == [expected[i] for i in (0, 0, 1, 0)]
    assert len(passes) == 2 * before >= 4
    assert 0 < memory.bytes < 10**5


def test_what_is_asked_otherwise_is_made_anew():
    """Every bit of a tensor, its kind and each option count; what no digest can be made of is not kept."""
    calls = []

    def get_image_features(*args, **options):
        calls.append(options)
        return BaseModelOutputWithPooling(pooler_output=args[0] * 2, last_hidden_state=args[0])

    asked = cached_call(get_image_features, memory := ByteCache(10**6))
    pixels = torch.arange(4000.0)
    other = pixels.clone()
    other[2000] += 1e-3
    for args in ((pixels,), (other,), (pixels.double(),), (pixels.view(2, -1),), (pixels, None), (pixels, "a")):
        for _ in range(3):
            found = asked(*args).pooler_output
            assert torch.equal(found, args[0] * 2)
            found.zero_()  # what is kept is not what is handed out
    assert torch.equal(asked(pixels, layer=-1).pooler_output, asked(pixels, layer=-2).pooler_output)
    assert len(asked([pixels, other] * 2).pooler_output) == 8
    assert len(calls) == len(memory) == 9
    asked(pixels, layer={1})
    assert (len(calls), len(memory)) == (10, 9)
    assert asked(pixels).last_hidden_state is None
