"""Take only GRPO-CARE's bonus for consistency into a training loop of your own; nothing else here is mmrl's.

    python examples/care_bonus_in_your_loop.py [STEPS]

It needs no data: a tiny language model of random weights, made here, learns to end with an even token. Put your model, your
prompts and your reward in the place of these.
"""

import copy
import sys

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

import mmrl

GROUP, LENGTH, DECAY = 8, 12, 0.995


@torch.no_grad()
def write(model: Qwen2ForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Sample LENGTH tokens behind each prompt."""
    for _ in range(LENGTH):
        tokens = torch.cat([tokens, model(tokens).logits[:, -1].softmax(dim=-1).multinomial(1)], dim=1)
    return tokens


def logprobs_of(model: Qwen2ForCausalLM, tokens: torch.Tensor, prompt: int) -> torch.Tensor:
    """The log-probability of each token behind the prompt, [g t]."""
    logits = model(tokens).logits[:, prompt - 1 : -1]
    return logits.log_softmax(dim=-1).gather(-1, tokens[:, prompt:, None]).squeeze(-1)


def main(steps: str = "60") -> None:
    torch.manual_seed(0)
    sizes = Qwen2Config(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    sizes.num_attention_heads = sizes.num_key_value_heads = 2
    policy = Qwen2ForCausalLM(sizes)
    reference = copy.deepcopy(policy).requires_grad_(False)  # the slow copy of the policy that judges its answers
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    prompts = torch.randint(64, (1, 4)).repeat(GROUP, 1)
    for step in range(int(steps)):
        tokens = write(policy, prompts)
        answer_mask = torch.zeros(GROUP, LENGTH, dtype=torch.bool)
        answer_mask[:, -1] = True  # where your completions hold the answer: here it is the last token
        accuracy = (tokens[:, -1] % 2 == 0).float()  # your grader
        with torch.no_grad():
            ref_logprobs = logprobs_of(reference, tokens, prompts.shape[1])
        bonus = mmrl.care_bonus(ref_logprobs, answer_mask, accuracy, bonus=0.5)
        advantages = mmrl.group_advantages(accuracy + bonus, baseline="group_mean_std")
        loss = -(advantages[:, None] * logprobs_of(policy, tokens, prompts.shape[1])).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for slow, fast in zip(reference.parameters(), policy.parameters(), strict=True):
                slow.lerp_(fast, 1 - DECAY)
        print(f"step {step + 1}: accuracy {accuracy.mean():.2f}, bonus {bonus.mean():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
