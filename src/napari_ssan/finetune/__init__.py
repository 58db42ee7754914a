"""Fine-tuning a model to one stack: settings, a run on disk, training, and the verdict."""
