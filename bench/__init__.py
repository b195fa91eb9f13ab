"""Measure the cost of requests: `make bench`. See README.md in this folder."""
