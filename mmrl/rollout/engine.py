"""Samples in this process: each prompt is prefilled once, all groups of a step are decoded together, rows leave when they end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmrl.models.attention.decode import Decoder, decoder
from mmrl.models.context import refuse, too_long
from mmrl.models.policy import Policy
from mmrl.models.spans import Span
from mmrl.rollout.noise import draw, uniforms
from mmrl.types import Decoding, Group, Prompt

# float32 tensors as wide as the vocabulary that drawing a token needs at a time; its distribution is float64
TENSORS = 5
TENSORS_TOP_P = 12  # the same with top_p below 1, which sorts the distribution
COMPACT = 0.75  # ended rows leave the batch when at most this fraction of the rows continues


@dataclass(frozen=True, slots=True)
class Engine:
    """Samples completions from a policy."""

    policy: Policy
    decoding: Decoding
    span: Callable[[str], Span | None]  # finds the graded answer in a text, as character offsets
    max_num_seqs: int = 256  # rows that are decoded at a time

    @torch.no_grad()
    def sample(
        self, prompts: Sequence[Prompt], samples: Sequence[Sequence[int]], seed: int, step: int = 0
    ) -> list[Group]:
        """Samples a group for each prompt. ``samples[i]`` are the sample indices of prompt i.

        Noise is keyed by (seed, step, example, sample index). Raises PromptError, before anything is sampled, if a completion
        would not fit into the model's context.
        """
        refuse(list(too_long(prompts, self.policy.context, self.decoding.max_new_tokens)))
        groups = []
        for batch in self.batches(samples):
            groups += self.batch([prompts[i] for i in batch], [samples[i] for i in batch], seed, step)
        return groups

    def batches(self, samples: Sequence[Sequence[int]]) -> list[list[int]]:
        """Puts neighbouring prompts together, up to ``max_num_seqs`` rows; a group is never cut."""
        batches, rows = [[]], 0
        for index, members in enumerate(samples):
            if batches[-1] and rows + len(members) > self.max_num_seqs:
                batches.append([])
                rows = 0
            batches[-1].append(index)
            rows += len(members)
        return batches if batches[0] else []

    def batch(self, prompts: Sequence[Prompt], samples: Sequence[Sequence[int]], seed: int, step: int) -> list[Group]:
        """Samples one batch of groups."""
        length = self.decoding.max_new_tokens
        noise = torch.cat(
            [uniforms(seed, step, p.example.id, s, length) for p, s in zip(prompts, samples, strict=True)]
        )
        counts = [len(s) for s in samples]
        starts = torch.tensor([p.next_position for p, n in zip(prompts, counts, strict=True) for _ in range(n)])
        device = self.policy.device
        with self.policy.autocast(), self.policy.encode(prompts) as encoded:  # one cast of the weights for all tokens
            begun = decoder(self.policy, encoded, counts)
            tokens, logprobs, lengths = self.decode(begun, starts.to(device), noise.to(device))
        rows = zip(tokens.split(counts), logprobs.split(counts), lengths.split(counts), strict=True)
        return [self.group(prompt, *row) for prompt, row in zip(prompts, rows, strict=True)]

    def decode(
        self, decoder: Decoder, starts: Int[Tensor, " n"], noise: Float[Tensor, "n t"]
    ) -> tuple[Int[Tensor, "n t"], Float[Tensor, "n t"], Int[Tensor, " n"]]:
        """Samples tokens with their log-probabilities, and counts the tokens of each row (t + 1 if the limit cut it)."""
        hidden, device = decoder.last, noise.device
        tokens = torch.full(noise.shape, self.policy.end, device=device)
        logprobs = torch.zeros(noise.shape, dtype=torch.promote_types(hidden.dtype, torch.float32), device=device)
        lengths = torch.full((len(noise),), noise.shape[1] + 1, device=device)
        rows = torch.arange(len(noise), device=device)  # indices of the rows that are decoded
        for t in range(noise.shape[1]):
            token, value = self.choose(hidden, noise[rows, t])
            alive = lengths[rows] > t
            tokens[rows[alive], t], logprobs[rows[alive], t] = token[alive], value[alive]
            lengths[rows[alive & (token == self.policy.end)]] = t + 1
            alive = lengths[rows] > t + 1
            if not alive.any() or t + 1 == noise.shape[1]:
                break
            if alive.float().mean() <= COMPACT:
                keep = alive.nonzero().flatten()
                decoder.keep(keep)
                rows, token = rows[keep], token[keep]
            else:
                self.policy.work.padding += int((~alive).sum())  # ended rows that remain in the batch
            hidden = decoder.advance(token, starts[rows] + t)
        return tokens, logprobs, lengths

    def choose(self, hidden: Float[Tensor, "n d"], noise: Float[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Draws the next token of each row, with its log-probability, as many rows at a time as ``max_logit_bytes`` allows."""
        rows = self.policy.rows_per_chunk(hidden, TENSORS if self.decoding.top_p == 1 else TENSORS_TOP_P)
        chosen = [self.draw(*chunk) for chunk in zip(hidden.split(rows), noise.split(rows), strict=True)]
        token, logprobs = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        return token, logprobs

    def draw(self, hidden: Float[Tensor, "n d"], noise: Float[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """Draws the next tokens of a chunk of rows; log-probabilities are those before any truncation of the distribution."""
        logits = self.policy.logits(hidden, self.decoding.logit_temperature)
        token = draw(logits, noise, self.decoding.top_p) if self.decoding.temperature else logits.argmax(dim=-1)
        return token, logits.gather(-1, token[:, None]).squeeze(-1) - logits.logsumexp(dim=-1)

    def group(
        self, prompt: Prompt, tokens: Int[Tensor, "g t"], logprobs: Float[Tensor, "g t"], lengths: Int[Tensor, " g"]
    ) -> Group:
        """Makes a group, cut to its longest completion."""
        finished = lengths <= tokens.shape[1]
        lengths = lengths.clamp(max=tokens.shape[1]).cpu()
        width = int(lengths.max())
        mask = torch.arange(width) < lengths[:, None]
        rows = [row[:length].tolist() for row, length in zip(tokens.cpu(), lengths.tolist(), strict=True)]
        texts = tuple(self.policy.decode(row) for row in rows)
        answers = [self.policy.mask_of(row, width, self.span(text)) for row, text in zip(rows, texts, strict=True)]
        sampled = tokens[:, :width].cpu(), mask, torch.stack(answers), texts, finished.cpu(), logprobs[:, :width].cpu()
        return Group(prompt, *sampled, self.decoding.max_new_tokens)
