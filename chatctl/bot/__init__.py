"""A script in the room."""
