"""Starting values that let the small base model look up what stands before a word. Needs torch.

From ordinary starting values a model of this size needs some 30,000 texts before "the letter in front of this option"
is more than a guess (facts/prototype.md 2). Two pairs of attention heads make the difference, so they are planted;
training may do with them what it likes:

- layer 0, heads 0 and 1, look one token back: query and key are constants whose rotary phases agree at distance 1; they
  copy the word before into a part of the residual stream that no word was meant for;
- layer 1, heads 0 and 1, find the same word earlier in the text: query and key are one projection of the words, in the
  slow rotary frequencies that hardly turn over a prompt, with a constant in the fast ones that keeps away from the word
  itself and its neighbours; they write what stood before it as the next word.

These are the two heads of Olsson et al. (2022, 2209.11895), with the copy on the value's side, as the letter stands
before the option.
"""

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

WORDS = 0.1  # standard deviation of the embedding; larger than what random layers add, so that words stay words
BACK = 5.0  # the look-back heads' query and key
COPY = 0.12  # how much of the word before is kept
SAME = 2.2  # the sharpness of "the same word"
AWAY = 2.7  # how strongly neighbours are avoided
SAY = 0.5  # how loud the found word is


def plant(model: Qwen2_5_VLForConditionalGeneration, generator: torch.Generator) -> None:
    """Overwrites the embedding and two attention groups of the first two layers."""
    config = model.config.text_config
    hidden, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    basis = torch.linalg.qr(torch.randn(hidden, hidden, generator=generator)).Q.T
    word, before, identity = basis[:head], basis[head : 2 * head], basis[2 * head : 2 * head + head // 2]
    first, second = (layer.self_attn for layer in model.model.language_model.layers[:2])
    with torch.no_grad():
        model.model.language_model.embed_tokens.weight.normal_(0, WORDS, generator=generator)
        look_back(first, head, config.rope_parameters["rope_theta"])
        carry(first, head, read=word, write=before * COPY)
        find_same(second, head, identity * SAME)
        carry(second, head, read=before, write=word * SAY)


def look_back(attention: torch.nn.Module, head: int, theta: float) -> None:
    """Heads 0 and 1 attend to the token before, whatever it is: there the phases of the fast frequencies agree."""
    fast = head // 4
    turn = theta ** (-2 * torch.arange(fast) / head)  # radians a position
    query, key = torch.zeros(head), torch.zeros(head)
    key[:fast] = BACK
    query[:fast], query[head // 2 : head // 2 + fast] = BACK * turn.cos(), -BACK * turn.sin()
    set_heads(attention, head, torch.zeros(head, attention.q_proj.in_features), query, key)


def find_same(attention: torch.nn.Module, head: int, identity: Tensor) -> None:
    """Heads 0 and 1 attend to the same word farther back."""
    fast = head // 4
    weight = torch.zeros(head, attention.q_proj.in_features)
    weight[fast : head // 2], weight[head // 2 + fast :] = identity.chunk(2)
    key = torch.zeros(head)
    key[:fast] = AWAY
    set_heads(attention, head, weight, -key, key)


def set_heads(attention: torch.nn.Module, head: int, weight: Tensor, query: Tensor, key: Tensor) -> None:
    """One projection for the query heads 0 and 1 and the key that they share, each with its constant."""
    attention.q_proj.weight[: 2 * head], attention.q_proj.bias[: 2 * head] = weight.repeat(2, 1), query.repeat(2)
    attention.k_proj.weight[:head], attention.k_proj.bias[:head] = weight, key


def carry(attention: torch.nn.Module, head: int, read: Tensor, write: Tensor) -> None:
    """What heads 0 and 1 read of the tokens that they attend to, and where they write it."""
    attention.v_proj.weight[:head] = read
    attention.o_proj.weight[:, : 2 * head] = write.T.repeat(1, 2) / 2
