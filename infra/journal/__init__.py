"""Journals of live strategies, read again: what was consumed, in which order, and the records themselves."""
