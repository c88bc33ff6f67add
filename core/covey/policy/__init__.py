"""What devices will answer: a text that a lawyer can read, a reviewer signs, and a device enforces.

    terms       the policy as frozen data
    reading     TOML into it, with errors that say what to write instead
    signed      the reviewers' signatures on it, and when it holds
    checking    whether a plan keeps to it
    linting     what in it is unwise, or hardly what its author meant
    worst       what all permitted answers would cost by the noise alone
    explaining  what it allows, what that can reveal, and what is not promised, in plain words
    comparing   what a newer one makes weaker or stronger

What is signed is the TOML as the reviewer wrote it, byte for byte. Nothing is encoded again: a device reads
what the lawyer read.
"""
