//! Losses, accuracies and batch normalisation in training as the real Keras has them.
