"""Alembic migrations, each with a way back."""
