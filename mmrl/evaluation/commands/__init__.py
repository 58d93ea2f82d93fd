"""The commands of `mmrl eval`: run, score, compare, audit, ls; the page of view is `mmrl.report`'s."""
