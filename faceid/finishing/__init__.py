"""What happens to a finished picture: enlarging, faces, colour and grain. Knows no tune, no owner and no queue."""
