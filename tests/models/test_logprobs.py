"""Chunked log-probabilities: equal to the whole, over the allowed tokens only."""

import torch

from mmrl.models.logprobs import LogitRules, allowed_logits, token_logprobs


def made(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(7, 6, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(11, 6, generator=generator, dtype=dtype, requires_grad=True)
    allowed = torch.ones(11, dtype=torch.bool)
    allowed[[2, 9]] = False
    return hidden, torch.tensor([0, 1, 3, 4, 5, 6, 10]), weight, allowed


def test_chunks_change_neither_values_nor_gradients():
    results = []
    for max_logit_bytes in (1, 11 * 8 * 3, 10**9):
        hidden, tokens, weight, allowed = made()
        logprobs, entropy = token_logprobs(hidden, tokens, weight, LogitRules(allowed, (), 0.7, max_logit_bytes))
        logprobs.sum().backward()
        results.append((logprobs.detach(), entropy, hidden.grad, weight.grad))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_log_probabilities_are_over_the_allowed_tokens_at_the_temperature():
    hidden, tokens, weight, allowed = made()
    logprobs, entropy = token_logprobs(hidden, tokens, weight, LogitRules(allowed, (), 0.5, 10**9))
    expected = ((hidden @ weight.T)[:, allowed] / 0.5).log_softmax(-1)
    places = torch.tensor([int(allowed[:t].sum()) for t in tokens])
    torch.testing.assert_close(logprobs, expected.gather(-1, places[:, None]).squeeze(-1), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(entropy, -(expected.exp() * expected).sum(-1).detach(), atol=1e-12, rtol=1e-12)


def test_banned_tokens_get_no_gradient():
    hidden, tokens, weight, allowed = made()
    token_logprobs(hidden, tokens, weight, LogitRules(allowed, (), 1.0, 10**9))[0].sum().backward()
    assert not weight.grad[~allowed].any()
    assert weight.grad[allowed].any()


def test_half_precision_hidden_states_give_float32_logits():
    hidden, _, weight, allowed = made(torch.float32)
    assert allowed_logits(hidden.bfloat16(), weight, allowed, 1.0).dtype == torch.float32
