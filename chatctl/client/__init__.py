"""A person in the room, or a pipe."""
