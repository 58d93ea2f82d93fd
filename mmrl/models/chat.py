"""Convert questions to prompt text by the chat template, and completion tokens to text."""

from collections.abc import Collection, Sequence
from typing import Any

from mmrl.data.prompts import messages
from mmrl.types import Example, Media, Message


def chat(message: Message) -> dict[str, Any]:
    """Convert a message to the form that chat templates expect."""
    parts = [{"type": p.kind} if isinstance(p, Media) else {"type": "text", "text": p} for p in message.content]
    return {"role": message.role, "content": parts}


def prompt_text(processor: Any, example: Example, template: str) -> str:
    """Return the prompt of a question as text, with one placeholder for each medium."""
    chats = [chat(message) for message in messages(example, template)]
    return processor.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)


def completion_text(tokenizer: Any, tokens: Sequence[int], ends: Collection[int]) -> str:
    """Decode a completion without the token that ends its turn; other special tokens stay, because graders need them."""
    tokens = tokens[:-1] if len(tokens) and tokens[-1] in ends else tokens
    return tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
