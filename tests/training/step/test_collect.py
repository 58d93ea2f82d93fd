"""What is collected for a step: groups that were chosen, what the policy says of them, and what an algorithm remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch

from mmrl.algorithms import GRPO, KLInReward, Needs, State
from mmrl.models.proposal import Proposal
from mmrl.training.step.metrics import Meter
from mmrl.types import AdaptiveProposal, RowSlice
from tests import run_fixtures, tiny_models

PLAIN = {"beta": 0.0, "reference": None}


def read(policy, group):
    """What a policy says of a group's tokens."""
    with torch.no_grad(), policy.encode([group.prompt]) as encoded:
        return policy.logprobs(encoded, [RowSlice(0, group)])[0]


@pytest.mark.parametrize("max_tokens_per_micro_batch", [1, 10**6])
def test_now_is_what_the_policy_says_at_the_start_of_each_update(max_tokens_per_micro_batch):
    policy = tiny_models.policy()
    groups, said = run_fixtures.fixed_groups(policy), []

    @dataclass(frozen=True)
    class Listens(KLInReward):
        def token_weights(self, scored, normalisers, state=None):
            said.append((scored.group, scored.old_policy, read(policy, scored.group)))
            return super().token_weights(scored, normalisers, state)

    trainer = run_fixtures.trainer_of(
        Listens(beta=0.1, ratio="token", epsilon=0.2),
        policy,
        groups,
        mini_batches_per_step=2,
        max_tokens_per_micro_batch=max_tokens_per_micro_batch,
    )
    before = [read(policy, group).logprobs for group in groups]
    trainer.step()
    assert [group.prompt.example.id for group, _, _ in said] == list(run_fixtures.MIXED)
    for (group, old, expected), start, update in zip(said, before, (0, 0, 1, 1), strict=True):
        torch.testing.assert_close(old.logprobs, expected.logprobs, atol=1e-5, rtol=1e-5)
        assert not old.logprobs.requires_grad
        assert not (old.logprobs * ~group.completion_mask).any()
        assert torch.allclose(old.logprobs, start, atol=1e-5) == (update == 0)


def test_only_who_needs_it_pays_for_now():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(GRPO(**PLAIN), policy, run_fixtures.fixed_groups(policy))
    trainer.step()
    assert all(s.old_policy is None for s in trainer.last)


@dataclass(frozen=True)
class Picky(GRPO):
    """Keeps photos and text."""

    beta: float = 0.0
    reference: None = None
    draws: int = 5

    @property
    def needs(self):
        return Needs(max_gen_batches=self.draws)

    def keep_group(self, group, rewards: Mapping):
        return group.prompt.example.id in ("photo", "text")


def drawing(algorithm, batches):
    """A trainer whose draws are these batches of examples, over and over; and the numbers of the draws."""
    policy, numbers = tiny_models.policy(), []
    trainer = run_fixtures.trainer_of(algorithm, policy, [])

    def sample(_, number):
        numbers.append(number)
        return run_fixtures.fixed_groups(policy, batches[number % len(batches)])

    trainer.collector.sample = sample
    return trainer, numbers


def test_batches_are_drawn_until_there_are_enough_useful_groups():
    batches = [("film", "text", "films"), ("films", "film", "film"), ("text", "photo", "photo")]
    trainer, drawn = drawing(Picky(), batches)
    numbers = trainer.step()
    assert [s.group.prompt.example.id for s in trainer.last] == [
        "text",
        "text",
        "photo",
    ]  # the last photo is one too many
    assert (numbers["groups/num_gen_batches"], numbers["groups/drawn"], numbers["groups/kept"]) == (3, 9, 3)
    trainer.step()
    assert (drawn, trainer.collector.done, trainer.step_done) == (
        [0, 1, 2, 3, 4, 5],
        6,
        2,
    )  # what was drawn is not drawn again


def test_draws_are_bounded_and_a_step_without_useful_groups_leaves_the_weights_alone():
    trainer, drawn = drawing(Picky(draws=3), [("film", "films")])
    before = [p.detach().clone() for p in trainer.policy.model.parameters()]
    numbers = trainer.step()
    assert (drawn, trainer.update_done, numbers["groups/kept"]) == ([0, 1, 2], 0, 0)
    assert all(torch.equal(p, b) for p, b in zip(trainer.policy.model.parameters(), before, strict=True))


def test_the_choice_is_the_same_on_any_number_of_ranks():
    """Of two ranks with two and one useful groups a draw, and four to find, the first keeps 2 + 1 and the second 1 + 0."""

    @dataclass
    class Both:
        rank: int
        shared: list = field(default_factory=list)
        world: int = 2

        def gather(self, value):
            return [value, (2, 1)] if self.rank == 0 else [(2, 2), value]

    for rank, batch, kept in ((0, ("photo", "text"), 3), (1, ("text", "film"), 1)):
        trainer, _ = drawing(Picky(), [batch])
        collector = trainer.collector
        collector.ranks = Both(rank)
        collector.draw = lambda *_, trainer=trainer, batch=batch: count(trainer, batch)
        assert len(collector.draw_until_kept(Picky(), 1, Meter())) == kept


def count(trainer, batch):
    """A draw without what comes before it."""
    trainer.collector.drawn += 1
    return [(group, {}) for group in run_fixtures.fixed_groups(trainer.policy, batch)]


@dataclass(frozen=True)
class Count(State):
    """How many groups and steps there were."""

    groups: int
    steps: int

    def to_tensors(self):
        return {"groups": torch.tensor(self.groups), "steps": torch.tensor(self.steps)}

    @classmethod
    def from_tensors(cls, tensors):
        return cls(int(tensors["groups"]), int(tensors["steps"]))


@dataclass(frozen=True)
class Counts(GRPO):
    """Knows how many groups it has seen, and lets the policy replace the proposal at even numbers of steps."""

    beta: float = 0.0
    reference: None = None
    seen: ClassVar[list] = []
    needs: ClassVar[Needs] = Needs(state=Count, proposal=AdaptiveProposal(every=1))

    def init_state(self, base):
        return Count(0, 0)

    def token_weights(self, scored, normalisers, state=None):
        self.seen.append(state.groups)
        return super().token_weights(scored, normalisers, state)

    def observe(self, scored, state):
        return 1

    def update_state(self, state, observations):
        return Count(state.groups + sum(observations), state.steps + 1)

    def sync_proposal(self, state):
        return state.steps % 2 == 0


def test_weights_go_by_the_state_from_before_the_step():
    policy, algorithm = tiny_models.policy(), Counts()
    algorithm.seen.clear()
    trainer = run_fixtures.trainer_of(
        algorithm, policy, run_fixtures.fixed_groups(policy, ["text", "photo"]), mini_batches_per_step=2
    )
    for _ in range(2):
        trainer.step()
    assert algorithm.seen == [0, 0, 2, 2]
    assert trainer.state.groups == 4


def test_a_failed_step_is_not_remembered():
    policy = tiny_models.policy()
    trainer = run_fixtures.trainer_of(Counts(), policy, run_fixtures.fixed_groups(policy, ["text"]))
    trainer.update = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.step()
    assert (trainer.state.groups, trainer.collector.done) == (0, 0)


def test_a_proposal_becomes_the_policy_as_it_was_compared():
    policy = tiny_models.policy()
    proposal = Proposal(policy)
    (group,) = run_fixtures.fixed_groups(policy, ["text"])
    trainer = run_fixtures.trainer_of(Counts(), policy, [group], proposal=proposal)
    start = read(policy, group).logprobs
    adopted = [trainer.step()["proposal/synced"]]
    after_one = read(policy, group).logprobs
    torch.testing.assert_close(read(proposal, group).logprobs, start, rtol=0, atol=0)
    adopted.append(trainer.step()["proposal/synced"])
    assert adopted == [0, 1]
    torch.testing.assert_close(read(proposal, group).logprobs, after_one, rtol=0, atol=0)
    assert not torch.equal(read(policy, group).logprobs, after_one)
    other = Proposal(policy)
    other.restore(proposal.state())
    torch.testing.assert_close(read(other, group).logprobs, after_one, rtol=0, atol=0)


def test_an_example_that_the_table_lacks_is_refused():
    policy = tiny_models.policy()
    (group,) = run_fixtures.fixed_groups(policy, ["text"])
    trainer = run_fixtures.trainer_of(GRPO(**PLAIN), policy, [group], base_rewards={"text": {"total": torch.ones(3)}})
    trainer.step()
    assert torch.equal(trainer.last[0].base_rewards["total"], torch.ones(3))
    trainer.collector.base_rewards = {"film": {}}
    with pytest.raises(ValueError, match="found nothing of text; run mmrl prepare"):
        trainer.step()
