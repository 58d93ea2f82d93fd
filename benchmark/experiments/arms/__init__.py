"""Arms of reinforcement learning from one base, over seeds and cue strengths, several processes at a time."""
