"""Functions on AWS Lambda, or on anything that speaks its Invoke API."""
