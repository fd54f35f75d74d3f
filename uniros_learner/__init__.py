"""Everything that runs beside the learner: the client, the proxy, training and evaluation."""
