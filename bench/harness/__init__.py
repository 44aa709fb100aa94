"""What bench/run is made of: servers, phases of load, rows of the table."""
