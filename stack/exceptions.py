"""What the stack raises."""


class StackError(Exception):
    """Something that the user must mend; the message says what to do."""
