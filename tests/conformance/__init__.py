"""What a room promises, over every mode."""
