"""The one judge of an account: decides about intents, folds what happened to orders, and stops who lost too much."""
