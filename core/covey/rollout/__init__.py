"""How a release reaches a fleet: what an operator asks for, who it is meant for, and how it goes.

    plan          what is rolled out, in which rings, and what must hold before the next: people approve it
    instruction   what devices are told now: a plan, how much of it is open, pins and holds
    choosing      which image a device should run, and why, from an instruction alone
    outcome       what a device says of an image that it was told to run

Everything here is a pure function of data: devices, servers and people who ask for reasons come to the same
answer.
"""
