"""What can be traded, where and when, and what clients are told of it."""
