"""Check that a MongoDB is fit for this service before anything is written to it."""
