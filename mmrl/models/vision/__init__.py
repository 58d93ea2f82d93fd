"""The vision tower: patches, blocks, the projector, and what is kept of media that were encoded."""
