"""What the machine provides: durable files, limits, sockets, systemd, logging, the garbage collector, services."""
