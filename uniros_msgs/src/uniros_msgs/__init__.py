"""Messages of uniros and the codec between them and gymnasium spaces, samples and info dicts."""
