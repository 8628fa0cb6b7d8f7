"""What stops a job before it writes an event."""


class IncompatibleTableError(Exception):
    """A table has columns that cannot become what its declaration says; nothing has been changed."""


class StoppedByRuleError(Exception):
    """An event breaks a rule that asks to stop the job; nothing of its micro-batch has been written."""


class OlderTablesError(Exception):
    """The tables of a query lack micro-batches that it has finished; it has not been started."""


class MissingTopicError(Exception):
    """Kafka lacks a topic that is to be read."""


class MadeAnewError(Exception):
    """A topic is not the one any more that the query began to read; it goes on with the new one when it starts."""


class TurnedBackError(Exception):
    """Kafka has less of a partition than was read of it; nothing of this micro-batch has been written."""


class FencedError(Exception):
    """Another driver works at the same query; nothing of this micro-batch has been written."""
