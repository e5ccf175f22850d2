"""The room: who is in it and what is said, without a socket, a thread or a clock."""
