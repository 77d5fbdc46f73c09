"""The broker-fault laboratory: the real stack, faults at chosen moments, and a judge that believes no service."""
