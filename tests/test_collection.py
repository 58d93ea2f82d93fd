"""Tests as every worker collects them, and what conftest.py puts before them."""

import re

import pytest
import torch
from jaxtyping import TypeCheckError

from mmrl.functional.policy_gradient import leave_one_out

ADDRESS = re.compile(r"\bat[ _]0x|0x[0-9a-f]{8,}")


def test_no_id_holds_an_address_and_none_is_given_twice(request):
    """Workers that name a test differently refuse to begin."""
    ids = [item.nodeid for item in request.session.items]
    assert not [name for name in ids if ADDRESS.search(name)]
    assert len(set(ids)) == len(ids)


def test_shapes_are_checked_in_every_worker():
    """The import hook of conftest.py is there before the library."""
    with pytest.raises(TypeCheckError):
        leave_one_out(torch.ones(2, 3))


def test_a_worker_has_one_thread():
    assert torch.get_num_threads() == 1
