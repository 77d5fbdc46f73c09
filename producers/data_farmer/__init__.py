"""The data farmer: the only service that asks the gateway for contracts and history."""
