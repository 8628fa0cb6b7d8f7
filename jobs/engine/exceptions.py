"""What stops a job before it reads an event."""


class IncompatibleTableError(Exception):
    """A table has columns that cannot become what its declaration says; nothing has been changed."""


class StoppedByRuleError(Exception):
    """An event breaks a rule that asks to stop the job; nothing of its micro-batch has been written."""
