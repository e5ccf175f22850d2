"""What a connection's bytes pass between the wire and the socket."""
