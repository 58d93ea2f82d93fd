"""Convert YAML to objects: the schema, loading, rules between its parts, error messages."""
