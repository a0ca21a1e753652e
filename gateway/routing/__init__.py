"""Which variant answers: compiled slot tables, and the follower that keeps them at the registry's revision."""
