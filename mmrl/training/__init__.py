"""The run around the step: what it is built of, its loop, its checkpoints and what it writes down."""
