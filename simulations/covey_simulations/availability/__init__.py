"""When simulated devices can be asked, how long they take, and what it costs them: a virtual clock.

    keyed      random numbers for many devices at once, each keyed by the device and the hour
    tiers      what kinds of devices there are: speed, watts, link; each figure with its source
    traces     who is online: always, by day and night, or as a file has it
    recordings a trace of one's own, from a file
    battery    who is online: those whose battery is full enough
    hardware   what an update takes of a device, phase by phase
    model      a trace and hardware together: `Availability`
    clock      how long a stage lasts, and who is in it
    clockwork  the clock of one run: who is there, how long a sum takes, what it costs everyone
    jobs       devices that train side by side, for asynchronous rounds
    flops      the work of one plan: arithmetic and bytes
    usage      what every device has spent so far
    grid       a Grid that keeps the clock around another one
    settings   the [availability] table; `built` makes the rest from it, `words` says it in sentences
    run        the clock of a run: its grid, its rounds' columns, what it came to

Nothing here is measured on a fleet. It is a model whose constants have a source or are marked as assumed; a
million devices cost nothing until they are asked, since everything about a device follows from its number.
"""
