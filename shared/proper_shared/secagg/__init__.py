"""Secure aggregation: the coordinator learns a sum and nothing of its terms.

State machines without I/O, clock or randomness of their own: messages in, messages
out. Read `member` beside `collector`; what both sides say stands in `messages`, what a
member refuses in `checks`, how many may cheat in `quorum`, and what every mask and
signature is bound to in `binding`.
"""
