"""A live strategy as a fold of its inputs: pure, so that what was decided can be decided again and compared."""
