"""What keeps a store in order while it is used: a service a file, each with start and stop. Runs no functions."""
