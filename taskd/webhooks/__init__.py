"""Telling others what has happened: deliveries to webhooks, signed and sent as Standard Webhooks has it."""
