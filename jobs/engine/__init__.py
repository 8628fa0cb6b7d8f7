"""What every job shares: the session, the Kafka source, the Delta commit, the progress report."""
