"""What may be wrong with an evaluation: contamination, shortcuts, media that changed."""
