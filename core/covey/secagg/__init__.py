"""The private sum: devices mask their vectors so that a server learns the sum and nothing else.

Keith Bonawitz et al., CCS 2017 (eprint 2017/281), and James Bell et al., CCS 2020 (eprint 2020/704), with
signed keys and one round in which the devices agree on who took part.
"""
