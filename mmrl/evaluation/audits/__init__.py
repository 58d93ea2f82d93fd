"""Audits of an evaluation: contamination, shortcuts, media that changed."""
