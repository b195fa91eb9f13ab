"""A database of our own for a machine without MongoDB. The rest of the service knows `database`, and nothing else."""
