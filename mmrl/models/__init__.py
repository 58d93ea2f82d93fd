"""A Hugging Face video language model: prompts, encoded media, a prefilled prefix, log-probabilities."""
