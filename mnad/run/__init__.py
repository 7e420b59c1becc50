"""What every command needs besides its subject: errors, files, settings, provenance, the command line."""


class UserError(ValueError):
    """A mistake in the user's input; its message is one line: which file, key or value; expected X, got Y."""


class NotInstalled(UserError):
    """Something that needs an optional package which is not there."""


def not_installed(what: str, package: str | None, extra: str) -> NotInstalled:
    """The error of ``what`` (an option or a file) that needs ``package``, which ``pip install`` brings as ``extra``."""
    return NotInstalled(f"{what}: {package} is not installed; expected pip install 'mnad-wells[{extra}]'")


def one_line(error: object) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(error).split())
