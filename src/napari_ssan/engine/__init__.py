"""The main road: plan, tiles, synthesis, blending, repaired stack."""
