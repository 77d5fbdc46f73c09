"""Answers about the past: bars, ticks, histograms."""
