"""What a reader has done: counted where it happens."""

from dataclasses import dataclass, replace


@dataclass
class Work:
    """What a reader has done so far."""

    vision_passes: int = 0  # videos and images through the tower
    forward_tokens: int = 0  # tokens through the language model, padding included
    padding: int = 0  # of which padding, and tokens after a completion's end
    logit_bytes: int = 0  # the most that existed at a time
    halvings: int = 0  # of the rows that are sampled at a time

    def taken(self) -> "Work":
        """What was done so far; counting begins anew."""
        done = replace(self)
        self.__init__()
        return done
