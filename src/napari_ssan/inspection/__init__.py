"""What is wrong with a stack, found by looking at it. Knows the stack alone."""
