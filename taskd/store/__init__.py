"""Where tasks are kept safe. Everything above talks to :class:`taskd.store.base.TaskStore` alone."""
