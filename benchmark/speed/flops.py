"""The arithmetic that a step cannot do without: matrix products, two operations for a multiplication and its addition.

Attention, head and tower are counted; what is computed again for want of memory is not, nor are norms, softmax, rotations
and table look-ups. A causal token is counted with the keys that it may see. A backward pass is twice its forward pass.
"""

from dataclasses import dataclass

from benchmark.speed.case import WINDOW, Case, Shape

PATCH = 3 * 2 * 14 * 14  # numbers in a patch
MERGED = 4  # patches that become one token
FORWARD, TRAINED = 1, 3  # a pass, and a pass with its backward pass


@dataclass(frozen=True, slots=True)
class Flops:
    """Counts operations of one path through a step's training part, by where they are spent."""

    body: float  # the language model's matrices
    attention: float
    head: float
    tower: float

    @property
    def total(self) -> float:
        return self.body + self.attention + self.head + self.tower


def body(shape: Shape) -> float:
    """The language model's matrices, for one token."""
    width = shape.hidden // shape.heads * (shape.heads + 2 * shape.kv_heads)
    weights = shape.hidden * (width + shape.hidden) + 3 * shape.hidden * shape.intermediate
    return 2.0 * shape.layers * weights


def pairs(length: int, before: int = 0) -> float:
    """Counts (query, key) pairs of causal attention: ``length`` queries that also see ``before`` earlier keys."""
    return length * before + length * (length + 1) / 2


def attention(shape: Shape, seen: float) -> float:
    """Scores and weighted sums of ``seen`` pairs in every layer."""
    return 4.0 * shape.layers * shape.hidden * seen


def head(case: Case) -> float:
    """The logits of one token."""
    return 2.0 * case.shape.hidden * case.words


def tower(case: Case) -> float:
    """One pass of one prompt's clip: patches, blocks in windows and whole frames, merger."""
    shape, view = case.shape, case.view
    d, patches = shape.vision_hidden, view.patches
    weights = PATCH * d + shape.vision_layers * (4 * d * d + 3 * d * shape.vision_intermediate)
    merger = (MERGED * d) ** 2 + MERGED * d * shape.hidden
    frame, window = view.height * view.width // 14**2, (WINDOW // 14) ** 2
    full = len(shape.full_attention)
    keys = full * frame + (shape.vision_layers - full) * min(window, frame)
    return 2.0 * patches * weights + 2.0 * patches / MERGED * merger + 4.0 * d * patches * keys


def training(case: Case, prompt: int, shared: bool) -> Flops:
    """Forward and backward of a group. ``shared``: the prompt, and its clip, once; else once a completion."""
    group, new, shape = case.group, case.new_tokens, case.shape
    copies = 1 if shared else group
    seen = copies * pairs(prompt) + group * pairs(new, prompt)
    times = TRAINED if case.tower == "trained" else FORWARD
    return Flops(
        TRAINED * (copies * prompt + group * new) * body(shape),
        TRAINED * attention(shape, seen),
        TRAINED * group * new * head(case),
        times * copies * tower(case),
    )


def sampling(case: Case, prompt: int) -> float:
    """The prompt once, then a token at a time for each member of the group."""
    group, new, shape = case.group, case.new_tokens, case.shape
    seen = pairs(prompt) + group * pairs(new - 1, prompt)
    tokens = prompt + group * (new - 1)
    return tokens * body(shape) + attention(shape, seen) + group * new * head(case) + tower(case)


def reading(case: Case, prompt: int) -> float:
    """Counts operations of the reference: prompt once, completions, clip once."""
    group, new, shape = case.group, case.new_tokens, case.shape
    seen = pairs(prompt) + group * pairs(new, prompt)
    return (prompt + group * new) * body(shape) + attention(shape, seen) + group * new * head(case) + tower(case)
