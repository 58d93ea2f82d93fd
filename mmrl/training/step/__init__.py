"""The algorithm box: collect, credit, learn. It knows no algorithm by name, no model and no file."""
