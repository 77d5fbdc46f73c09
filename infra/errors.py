"""Failures of the world: what failed, why, and what to do about it."""


class ScizorError(Exception):
    """Base of every failure that a person can act on; its text says what to do."""

    exit_code = 1


class UsageError(ScizorError):
    """The caller asked for something that does not exist or makes no sense."""

    exit_code = 2


class EnvironmentUnhealthyError(ScizorError):
    """Something outside SCIZOR is missing or broken: a port, a disk, a broker, a database."""

    exit_code = 3


class RefusedError(ScizorError):
    """Risk or a safety rule said no."""

    exit_code = 4
