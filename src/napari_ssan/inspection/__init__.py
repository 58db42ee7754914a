"""Rules that find broken sections in a stack. They only read the stack, and mark nothing."""
