"""Keys and names that configs no longer have, and what took their place."""

RENAMED = {  # the path that an older config has -> what to write
    "validate_every": "validation.every",
    "model.feature_dir_bytes": "a third of cache_dir_bytes, in data or evaluation",
}
RENAMED_CHOICES = {  # the key of a choice and its older name -> what to write
    ("algorithm", "rlkl"): "kl_in_reward, or kl_in_loss where its key place was loss; that key is gone",
}
