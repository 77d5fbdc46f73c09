"""Bars as Parquet files: kept when their rows go."""
