"""A simulated fleet's releases: published, rolled out to its devices, taken back where they are bad.

served      the repository of static files, over loopback HTTP
devices     each device's updater and its application, in a folder of its own
operator    keys, releases, the rollout's desk, and health as a private sum
broken      a release that no self-test passes
stage       all of it in order, as `covey demo` shows it
"""
