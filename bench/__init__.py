"""Benchmarks: Sluice beside the three-hop pipeline that the documentation of Spark and Delta Lake teaches."""
