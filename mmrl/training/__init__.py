"""The run around the step: its parts, its loop, its checkpoints and its records."""
