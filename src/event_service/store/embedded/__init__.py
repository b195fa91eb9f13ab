"""A mongod of the service's own, as a child process, for a machine without a MongoDB. Import `database` only."""
