"""A stack of sections: reading, marks, intensity, registration, triplets. No torch, no Qt."""
