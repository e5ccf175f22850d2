"""What the server says to who cannot come in, or has to go: programs know these lines by their words."""

NEEDS_PASSWORD = "this room needs a password: send it as your first line"
"""How a room with a password greets a newcomer."""

WRONG_PASSWORD = "wrong password"
"""How it answers to another one."""

KICKED = "kicked"
"""How the last word to a member begins that the operator ended."""

DENIED = "your address is not allowed here"
"""How a newcomer is refused, or a member ended, whose address is denied."""

IDLE = "nothing heard of you"
"""How the last word to a member begins that was silent for too long."""

TOO_LONG = "line too long, not sent: it may have"
"""How the answer to such a line begins; how many bytes follows."""

FINAL = (KICKED, DENIED, IDLE)
"""How the last word begins to who should not come back by itself."""
