"""Answer tokens by character offsets."""

import pytest

from mmrl.models.spans import span_mask
from tests import tiny_models


def chosen(text, span):
    tok = tiny_models.tokenizer()
    ids = tok(text, add_special_tokens=False).input_ids
    mask = span_mask(ids, tok.decode, span, len(ids) + 2)
    return [tok.decode([i]) for i, m in zip(ids, mask, strict=False) if m], mask


def test_a_token_that_holds_the_bracket_and_the_letter_belongs_to_the_answer():
    text = "<think>x</think><answer>B</answer>"
    start = text.index(">B") + 1
    tokens, mask = chosen(text, (start, start + 1))
    assert len(tokens) == 1
    assert "B" in tokens[0]
    assert len(tokens[0]) > 1  # fused with its neighbours in this vocabulary
    assert not mask[-2:].any()


@pytest.mark.parametrize("span", [None, (3, 3)])
def test_no_answer_has_no_tokens(span):
    assert chosen("what next", span)[0] == []


def test_characters_of_several_bytes_belong_to_the_token_that_completes_them():
    text = "né: 漢字 <answer>é</answer>"
    start = text.index(">é") + 1
    tokens, _ = chosen(text, (start, start + 1))
    assert len(tokens) == 1  # the second byte completes the character


def test_the_whole_text_is_all_tokens():
    text = "the answer is B"
    _, mask = chosen(text, (0, len(text)))
    assert mask[:-2].all()
