"""One file a resource: the calls of each, from the request to the answer. No resource knows another."""
