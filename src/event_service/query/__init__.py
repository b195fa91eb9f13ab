"""The query language of list and stat: what a caller asked, as typed and validated trees.

Source: `spaceone.api.core.v2.Query` and `StatisticsQuery`. Everything here takes the plain dicts of those messages (a
oneof's presence is the key's presence) and ends in frozen trees or in an error that names the faulty field. Operators
of a database do not occur here: `store/compile.py` alone knows them.
"""
