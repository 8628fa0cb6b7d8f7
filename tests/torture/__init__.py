"""Faults upon faults, under the traffic of both businesses; after each, every cell is held against the truth."""
