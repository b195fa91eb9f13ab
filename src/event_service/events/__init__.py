"""Events: the rules between the doors and the store."""
