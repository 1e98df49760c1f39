"""The outside world, one thin module a neighbour. Every foreign error becomes one of `agent.errors` here."""
