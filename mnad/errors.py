"""The one exception type for mistakes that a user can make."""


class UserError(ValueError):
    """A mistake in the user's input; its message is one line naming the file, key or value and what was expected."""
