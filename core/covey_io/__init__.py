"""The few ways in which Covey writes to disk. Everything durable goes through `covey_io.durable`."""
