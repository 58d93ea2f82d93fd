"""YAML to objects: the schema, how it is loaded, rules between its parts, its error messages."""
