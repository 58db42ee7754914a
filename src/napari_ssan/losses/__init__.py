"""What the network is trained to make small."""
