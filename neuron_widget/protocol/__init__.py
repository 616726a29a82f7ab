"""What page and kernel say to each other, and how pictures travel."""
