"""This machine: ranks, sharding, memory that does not suffice, the console, interrupts, caches, provenance."""
