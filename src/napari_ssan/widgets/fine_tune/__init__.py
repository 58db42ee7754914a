"""The dock "Fine-tune": teach the network the look of the stack that is open."""
