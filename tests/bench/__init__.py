"""Benchmarks: real units of work beside the raw limit, measured in the same run."""
