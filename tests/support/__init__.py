"""What several tests share: stand-ins, simulated worlds and real clusters."""
