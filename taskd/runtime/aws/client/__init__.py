"""The hot path to Lambda: signed requests over kept connections, never sent twice. Knows no task."""
