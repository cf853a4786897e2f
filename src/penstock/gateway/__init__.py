"""The gateway: a server on the loopback interface through which the model calls of shell steps go."""
