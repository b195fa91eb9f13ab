"""The database layer: only this package imports pymongo and writes MongoDB operators."""
