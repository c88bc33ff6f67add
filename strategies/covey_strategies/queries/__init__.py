"""What can be asked of a device. One file a query: its parts, its device half, its server half.

A number leaves a device in no other way than as an element of one of these answers.
"""
