"""What the machine gives: durable files, limits, systemd, logging, the garbage collector, background services."""
