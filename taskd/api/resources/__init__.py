"""One file a resource: the calls of each, from the request to the response. No resource knows another."""
