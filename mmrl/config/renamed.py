"""Keys that configs no longer have, and the keys that took their place."""

RENAMED = {  # the path that an older config has -> what to write
    "validate_every": "validation.every",
    "model.feature_dir_bytes": "a third of cache_dir_bytes, in data or evaluation",
}
