"""Who is calling: accounts, passwords, tokens, signatures. Knows no HTTP server; the API asks it who is there."""
