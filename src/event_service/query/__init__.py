"""The query language of list and stat, as typed and validated trees.

Source: `spaceone.api.core.v2.Query` and `StatisticsQuery`. Parsers take the plain dicts of those messages (an unset
oneof is a missing key) and return frozen trees or raise an error with the path of the faulty field. MongoDB's operators
occur only in `store/compile.py`.
"""
