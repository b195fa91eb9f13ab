"""MongoDB, and nobody else's MongoDB: only this package imports pymongo or writes an operator."""
