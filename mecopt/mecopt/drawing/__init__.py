"""Pictures of a placement: in the terminal, as a file, and the times that both show."""
