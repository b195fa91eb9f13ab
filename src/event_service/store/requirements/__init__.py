"""Checks that a MongoDB meets the service's requirements, before the service writes anything."""
