"""Runs live strategies: their inputs in, signals and intents out, and a journal from which it can all be done again."""
