"""What a room can carry."""
