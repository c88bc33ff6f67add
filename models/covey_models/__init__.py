"""What is trained: model descriptions, local training, evaluation, export and quantisation (torch)."""
