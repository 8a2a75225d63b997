"""The audit trail: who did what to the service, kept apart from the log and for longer. Knows no HTTP server."""
