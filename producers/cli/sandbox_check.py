"""`scizor doctor`'s look at the sandbox: whether uploaded strategies run on this machine, and what to do if not."""

from infra.clock import SystemClock
from infra.sandbox.canary import proven_sandbox
from infra.sandbox.errors import SandboxUnavailableError
from infra.sandbox.sandbox import bubblewrap
from infra.settings import Settings

FIX = (
    "let plain users make namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; in containers "
    "their security profile), or install this system's bubblewrap: docs/sandbox.md"
)


def sandbox_found(settings: Settings) -> tuple[bool, str]:
    """Whether the sandbox holds here, and in words what was found."""
    try:
        proven_sandbox(SystemClock(), settings.home)
    except SandboxUnavailableError as error:
        return False, f"uploaded strategies would be stored and not run: {error}"
    return True, f"holds what a canary tried; {bubblewrap()}"
