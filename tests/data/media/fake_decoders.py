"""Decoders that misbehave; a module of its own, since other processes import them."""

import os
import time

from mmrl.data.media import video


def hang_on_a(path, choice, reader="auto"):
    """Never comes back from files whose name starts with a."""
    if path.name.startswith("a"):
        time.sleep(600)
    return video.decode(path, choice, reader)


def die_on_a(path, choice, reader="auto"):
    """Ends its process, as a crash in a C library does."""
    if path.name.startswith("a"):
        os._exit(11)
    return video.decode(path, choice, reader)
