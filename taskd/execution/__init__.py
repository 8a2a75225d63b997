"""Running tasks: claim what is due, invoke it, settle what became of it. Knows no storage and no HTTP server."""
