"""What happens, counted: metrics with bounded labels, and events as log lines."""
