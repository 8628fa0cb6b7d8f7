"""The whole system on one machine, as supervised processes."""
