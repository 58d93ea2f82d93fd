"""Keyed noise and drawing from it."""

import torch

from mmrl.rollout.noise import draw, nucleus, uniforms


def test_noise_is_a_function_of_its_key_and_of_nothing_else():
    one = uniforms(1, 2, "a", [0, 1, 2], 5)
    torch.manual_seed(9)
    assert torch.equal(uniforms(1, 2, "a", [2], 5)[0], one[2])
    for other in (uniforms(0, 2, "a", [0], 5), uniforms(1, 3, "a", [0], 5), uniforms(1, 2, "b", [0], 5)):
        assert not torch.equal(other[0], one[0])


def test_longer_noise_starts_like_shorter_noise():
    assert torch.equal(uniforms(0, 0, "a", [0], 9)[:, :4], uniforms(0, 0, "a", [0], 4))


def test_frequencies_are_the_probabilities():
    logits = torch.tensor([0.3, -torch.inf, 1.5, -2.0, 0.9]).expand(200_000, -1)
    tokens = draw(logits, uniforms(0, 0, "x", [0], 200_000)[0])
    expected = logits[0].double().softmax(0)
    found = torch.bincount(tokens, minlength=5) / 200_000
    assert found[1] == 0
    deviation = (expected * (1 - expected) / 200_000).sqrt()
    assert ((found - expected).abs() <= 4 * deviation).all()


def test_the_ends_of_the_unit_interval_draw_tokens_with_mass():
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(2, -1)
    assert draw(logits, torch.tensor([0.0, 1 - 1e-16], dtype=torch.float64)).tolist() == [1, 2]


def test_nucleus_keeps_the_fewest_tokens_that_have_the_mass():
    kept = nucleus(torch.tensor([[0.1, 0.5, 0.15, 0.25]]), 0.7)
    assert kept.tolist() == [[0, 0.5, 0, 0.25]]
