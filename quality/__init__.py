"""Quality: what decides whether an event may enter."""
