"""Secure aggregation: the coordinator learns a sum and nothing of its terms.

State machines without I/O, clock or randomness of their own: messages in, messages
out. Read `member` beside `collector`; what both sides say stands in `messages`.
"""
