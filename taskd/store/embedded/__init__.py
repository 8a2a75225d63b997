"""The default store: one directory of this machine, with a journal, a queue in memory and a catalogue."""
