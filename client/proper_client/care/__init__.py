"""What looks after an installation and a home: it reads, says what it sees, no more.

`finding` is what a look comes to; `installation`, `belongings` and `standing` look at
the program, at the files and at what others vouched for; `doctor` asks them all in
turn. `settings` says which settings hold, and why.
"""
