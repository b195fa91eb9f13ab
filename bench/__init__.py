"""What a request costs, measured: `make bench`. See README.md beside this file."""
