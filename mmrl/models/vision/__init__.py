"""The vision tower: patches, blocks, the projector, and caches of encoded media."""
