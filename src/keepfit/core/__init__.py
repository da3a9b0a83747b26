"""What everything stands on: errors, digests, clocks, durable files. Standard library, blake3 and msgspec only."""
