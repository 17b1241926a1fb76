"""How fast, and how flat in memory: ``python -m benchmarks.speed``."""
