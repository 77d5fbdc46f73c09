"""How the sandbox fails: it cannot be made here, or what ran inside was ended."""

from infra.errors import EnvironmentUnhealthyError, ScizorError


class SandboxUnavailableError(EnvironmentUnhealthyError):
    """This host cannot hold a stranger's code back: it is stored, and never run."""


class SandboxedError(ScizorError):
    """What ran inside failed or was ended; the text says why, for whoever wrote the code."""
