"""Short training runs on the committed sample."""

from training.recipes.recipe import Recipe

SHORT_RECIPE = Recipe(epochs=6, batch_size=32, lr=1e-3)


def run(trainer, *, epochs=None, after_epoch=lambda: None):
    """Run all epochs, or stop after ``epochs``."""
    return trainer.run(stopped=lambda: epochs is not None and len(trainer.history) >= epochs, after_epoch=after_epoch)
