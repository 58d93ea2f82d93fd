"""Services of the machine: ranks, sharding, out-of-memory retries, the console, interrupts, caches, provenance."""
