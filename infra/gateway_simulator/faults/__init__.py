"""What goes wrong on purpose, when, and what that does."""
