"""Evaluations as tables for the terminal and for JSON."""
