"""The pure core of Covey: no files, sockets, clock, global randomness, torch or flwr.

Everything here is frozen data and functions of their arguments. The shells around it (`covey_client`,
`covey_server`, `covey_simulations`, `covey_audit`) do the reading and writing.
"""

__version__ = "0.1.0"
