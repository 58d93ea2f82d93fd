"""Annotation files to examples, one format a file."""
