"""What is measured, each with one entry point: ``python -m benchmarks.NAME``."""
