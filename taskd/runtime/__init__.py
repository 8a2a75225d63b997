"""Where functions run: AWS Lambda, or child processes on this machine. Knows nothing of tasks' storage."""
