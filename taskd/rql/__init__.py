"""The query language of listings: text in, a small tree out. Knows nothing of SQL or HTTP."""
