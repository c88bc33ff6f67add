"""How a simulated cohort is worked out: device by device through the protocol, or many at once.

serial      every device by itself, through its messages: what a fleet does
batched     a cohort's training as one tensor program, in this process
processes   the same, shared out to processes of this machine
ray         the same, shared out by Flower's simulation runtime, on this machine or a cluster

They give the same sums up to the order in which floats are added; noise and coins are the same.
"""
