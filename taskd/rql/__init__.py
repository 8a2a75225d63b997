"""The query language of listings: text in, a small tree out. Knows nothing of SQL or HTTP.

What a query means, whatever store answers it, is in ``evaluate.py``; which operators there are, in ``operators.py``.
"""
