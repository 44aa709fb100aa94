"""What drives the clients: their packages, the servers they talk to, and the table of the results."""
