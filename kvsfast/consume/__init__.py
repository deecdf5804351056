"""Many calls: a session that never ends."""
