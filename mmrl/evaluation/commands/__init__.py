"""What `mmrl eval` does: run, score, compare, audit, view, ls."""
