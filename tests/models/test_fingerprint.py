"""A digest of weights sees every bit, and is computed again only when weights may have changed."""

import copy

import pytest
import torch

from mmrl.models import fingerprint
from mmrl.models.fingerprint import Fingerprint, digest


def of(model):
    return digest(model.named_parameters())


def test_the_digest_sees_one_element_and_an_exchange_of_two():
    model = torch.nn.Linear(300, 7)
    before = of(model)
    assert of(copy.deepcopy(model)) == before
    with torch.no_grad():
        model.weight[3, 17] += 1e-6
        once = of(model)
        model.weight[3, 17] -= 1e-6
        model.weight[0, :2] = model.weight[0, :2].flip(0)
    assert len({before, once, of(model)}) == 3
    assert of(copy.deepcopy(model).double()) != before
    assert of(copy.deepcopy(model).bfloat16()) == of(copy.deepcopy(model).bfloat16())


def test_a_recorded_digest_stays_what_it_was_in_earlier_releases():
    model = torch.nn.Linear(70000, 1)
    with torch.no_grad():
        model.weight.copy_(torch.arange(70000.0)[None])
        model.bias.fill_(-0.5)
    assert Fingerprint(model).record() == of(model) == "e1de0dd7aaae3ea4"


def test_weights_that_nobody_trains_are_hashed_once_until_somebody_writes_to_them(monkeypatch):
    model, hashed = torch.nn.Linear(3, 2).requires_grad_(False), []
    monkeypatch.setattr(fingerprint, "digest", lambda *given: hashed.append(1) or digest(*given))
    weights = Fingerprint(model)
    before = weights.record()
    assert (weights.record(), len(hashed)) == (before, 1)
    model.weight.add_(1.0)
    assert weights.record() not in ("", before)
    assert len(hashed) == 2


@pytest.mark.parametrize("how", [{"fused": True}, {"foreach": True}, {"foreach": False}], ids=str)
def test_weights_that_train_are_hashed_for_every_record(how):
    """torch does not count the writes of fused optimizers."""
    model = torch.nn.Linear(3, 2)
    optimizer, weights = torch.optim.AdamW(model.parameters(), lr=0.1, **how), Fingerprint(model)
    before = weights.record()
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    assert weights.record() == of(model) != before
