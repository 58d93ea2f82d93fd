"""mmrl: post-train video language models with reinforcement learning, and measure what that did to their reasoning."""

__version__ = "0.1.0"
