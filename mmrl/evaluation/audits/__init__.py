"""Audits of an evaluation: contamination, shortcuts, changed media."""
