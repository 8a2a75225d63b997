"""taskd: a durable task service that runs functions when they are due."""

__version__ = "0.1.0"
