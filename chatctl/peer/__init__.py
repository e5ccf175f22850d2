"""A member's side of a connection, for the client, the bot and the bench."""
