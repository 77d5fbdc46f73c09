"""Streams: quotes, trades, five-second bars, depth, and who may see them."""
